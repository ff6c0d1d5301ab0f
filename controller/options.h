#ifndef VMKEEP_CONTROLLER_OPTIONS_H_
#define VMKEEP_CONTROLLER_OPTIONS_H_

#include "common/channel.h"
#include "common/log.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <set>
#include <string>
#include <vector>

namespace vmkeep::controller {

// What the controller is told at start; checked. The flags of the same names say it (--flagfile
// reads them from a file).
struct Options {
  std::vector<std::string> listen = {"unix:/run/vmkeep/controller.sock"};
  TlsFiles tls;  // for listeners and for dialling hosts
  std::string state_dir = "/var/lib/vmkeep/controller";
  int tasks_per_host = 2;
  int tasks_per_repository = 4;
  std::set<std::string>
      operators;               // common names that may register hosts and initialise repositories
  std::string metrics_listen;  // empty: no metrics
  log::Level log_level = log::Level::kInfo;

  // Not flags: what tests make shorter.
  absl::Duration drain_deadline = absl::Seconds(10);
  absl::Duration bookmark_every = absl::Seconds(15);
};

// From the flags, which are parsed before. INVALID_ARGUMENT names all that is wrong.
absl::StatusOr<Options> OptionsFromFlags();

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_OPTIONS_H_
