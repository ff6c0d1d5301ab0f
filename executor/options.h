#ifndef VMKEEP_EXECUTOR_OPTIONS_H_
#define VMKEEP_EXECUTOR_OPTIONS_H_

#include "common/log.h"
#include "executor/task/environment.h"
#include "executor/worker_client/repository_guard.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <string>

namespace vmkeep::executor {

// What the flags say, checked.
struct Options {
  std::string listen;
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  std::string state_dir;
  std::string hypervisor;  // "libvirt", "hyperv" or "sim"
  std::string libvirt_uri;
  bool apparmor_allowed = false;
  std::string hyperv_interpreter;
  std::string hyperv_scripts;
  std::string sim_dir;
  std::string sim_vms;
  std::string worker_binary;
  std::string metrics_listen;  // empty: no metrics
  log::Level log_level = log::Level::kInfo;
  std::string log_file;  // empty: to stderr
  RepositoryLimits repositories;
  TaskOptions tasks;
};

// From the command line and --flagfile. Exits for --help, and for flags that do not exist.
// INVALID_ARGUMENT names the flag whose value cannot be.
absl::StatusOr<Options> ParseOptions(int argc, char** argv);

// Where and what to log.
absl::Status InitLog(const Options& options);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_OPTIONS_H_
