#include "executor/options.h"

#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/host/host.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "executor/defaults.h"

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include <array>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

ABSL_FLAG(std::string, listen, vmkeep::executor::kDefaultListen,
          "where the controller finds this executor: unix:/path, or host:port (loopback, or with "
          "--tls_ca, --tls_cert and --tls_key)");
ABSL_FLAG(std::string, tls_ca, "", "PEM file: who the controller's certificate must be signed by");
ABSL_FLAG(std::string, tls_cert, "", "PEM file: this executor's certificate, with its chain");
ABSL_FLAG(std::string, tls_key, "", "PEM file: the key of --tls_cert");
ABSL_FLAG(std::string, state_dir, vmkeep::executor::kDefaultStateDir,
          "folder of the journal; on a local disk, for one executor only");
ABSL_FLAG(std::string, hypervisor, vmkeep::executor::kDefaultHypervisor,
          "libvirt, hyperv, or sim: VMs that are only files");
ABSL_FLAG(std::string, libvirt_uri, "qemu:///system", "libvirt's connection URI");
ABSL_FLAG(bool, apparmor_allowed, false,
          "QEMU's AppArmor profile lets it write to the disks' folders: back up confined VMs also "
          "with a libvirt before 12.1");
ABSL_FLAG(std::string, hyperv_interpreter,
          "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
          "the PowerShell that runs the Hyper-V scripts, absolute; with --hypervisor=hyperv");
ABSL_FLAG(std::string, hyperv_scripts, "",
          "folder of the Hyper-V scripts, as they came with this program; default: scripts, beside "
          "this program");
ABSL_FLAG(std::string, sim_dir, "", "folder of the simulated VMs; with --hypervisor=sim");
ABSL_FLAG(std::string, sim_vms, "",
          "simulated VMs to make if absent, name:disks:size, such as web-1:2:64MiB,db:1:1GiB");
ABSL_FLAG(std::string, repository_primary, vmkeep::executor::kDefaultPrimary,
          "where repository 1 is mounted; empty: there is none");
ABSL_FLAG(std::string, repository_secondary, vmkeep::executor::kDefaultSecondary,
          "where repository 2 is mounted; empty: there is none");
ABSL_FLAG(std::string, worker_binary, "", "vmkeep-worker; default: beside this program");
ABSL_FLAG(int64_t, overlay_reserve_bytes, 0,
          "free bytes that a VM's overlays need on the host before a backup; 0: 5 % of the virtual "
          "size, 1 to 16 GiB");
ABSL_FLAG(
    std::string, overlay_dir, "",
    "folder for the overlays of disks that are block devices, where QEMU's user may go; empty: "
    "VMs with such disks are refused");
ABSL_FLAG(absl::Duration, stall_timeout, absl::Seconds(60),
          "a copy in which no byte moves for so long is given up");
ABSL_FLAG(absl::Duration, copy_deadline, absl::Hours(24),
          "a copy that takes longer is given up, unless the controller asks otherwise");
ABSL_FLAG(absl::Duration, export_stall_timeout, absl::Minutes(10),
          "an export of the hypervisor's in which neither a byte nor its percentage moves for so "
          "long is given up");
ABSL_FLAG(
    absl::Duration, probe_interval, absl::Minutes(1),
    "how often each repository is probed; one where jobs hung or kept failing is left alone for "
    "so long, then used again after a probe that goes well");
ABSL_FLAG(absl::Duration, probe_deadline, absl::Seconds(30),
          "a probe of a repository that takes longer is given up, and the repository is ill");
ABSL_FLAG(
    int, hanging_workers_limit, 4,
    "once a worker of a repository hangs and cannot be killed, no job is begun there that would "
    "make more than so many; the jobs of two backups and a probe need 4");
ABSL_FLAG(
    absl::Duration, merge_suspend_for, absl::ZeroDuration(),
    "how long a guest may be suspended when it writes faster than its disk can be merged and a "
    "limit on its writes did not help; 0: never");
ABSL_FLAG(absl::Duration, merge_trend_window, absl::Seconds(30),
          "so long a merge is watched before it counts as outrun by its guest, and more is done "
          "about it");
ABSL_FLAG(std::string, metrics_listen, "",
          "where Prometheus scrapes /metrics over HTTP: a loopback host:port; empty: nowhere");
ABSL_FLAG(std::string, log_level, "info", "debug, info, warning or error");
ABSL_FLAG(std::string, log_file, "",
          "log into this file, a new one after 16 MiB, five of them; empty: to stderr, and as a "
          "Windows service to executor.log in the state folder");

namespace vmkeep::executor {
namespace {

absl::StatusOr<log::Level> ParseLevel(const std::string& text) {
  constexpr std::array<std::pair<absl::string_view, log::Level>, 4> kLevels = {
      {{"debug", log::Level::kDebug},
       {"info", log::Level::kInfo},
       {"warning", log::Level::kWarning},
       {"error", log::Level::kError}}};
  for (const auto& [name, level] : kLevels) {
    if (text == name) return level;
  }
  return InvalidArgument("--log_level", "must be debug, info, warning or error");
}

std::string BesideUs(const std::string& name) {
  const std::string program = host::ProgramPath();
  const size_t end = program.find_last_of("/\\");
  return end == std::string::npos ? name : fs::Join(program.substr(0, end), name);
}

// One spelling, however the flag spells it this time: leftover servers are found by it.
std::string FlatViewDir(const std::string& state_dir) {
  std::error_code failed;
  const std::filesystem::path folder = std::filesystem::weakly_canonical(state_dir, failed);
  return ((failed || folder.empty() ? std::filesystem::path(state_dir) : folder) / "flat").string();
}

absl::StatusOr<TaskOptions> ParseTaskOptions() {
  TaskOptions tasks;
  tasks.hostname = host::Hostname();
  const std::array<std::string, 2> mounts = {absl::GetFlag(FLAGS_repository_primary),
                                             absl::GetFlag(FLAGS_repository_secondary)};
  for (int slot = 1; slot <= 2; ++slot) {
    const std::string& mount = mounts[slot - 1];
    if (mount.empty()) continue;
    if (!fs::IsAbsolute(mount)) {
      return InvalidArgument(slot == 1 ? "--repository_primary" : "--repository_secondary",
                             "must be an absolute path, or empty");
    }
    tasks.repositories[slot] = mount;
  }
  tasks.overlay_reserve_bytes = absl::GetFlag(FLAGS_overlay_reserve_bytes);
  if (tasks.overlay_reserve_bytes < 0) {
    return InvalidArgument("--overlay_reserve_bytes", "must not be negative");
  }
  tasks.overlay_dir = absl::GetFlag(FLAGS_overlay_dir);
  if (!tasks.overlay_dir.empty() && !fs::IsAbsolute(tasks.overlay_dir)) {
    return InvalidArgument("--overlay_dir", "must be an absolute path, or empty");
  }
  tasks.stall_timeout = absl::GetFlag(FLAGS_stall_timeout);
  tasks.copy_deadline = absl::GetFlag(FLAGS_copy_deadline);
  tasks.export_stall_timeout = absl::GetFlag(FLAGS_export_stall_timeout);
  if (tasks.stall_timeout < absl::Seconds(1) || tasks.copy_deadline < absl::Seconds(1) ||
      tasks.export_stall_timeout < absl::Seconds(1)) {
    return InvalidArgument("--stall_timeout, --copy_deadline, --export_stall_timeout",
                           "must be 1s or more");
  }
  tasks.probe_interval = absl::GetFlag(FLAGS_probe_interval);
  tasks.probe_deadline = absl::GetFlag(FLAGS_probe_deadline);
  if (tasks.probe_interval < absl::Seconds(1) || tasks.probe_deadline < absl::Seconds(1)) {
    return InvalidArgument("--probe_interval, --probe_deadline", "must be 1s or more");
  }
  tasks.merge_ladder.suspend_for = absl::GetFlag(FLAGS_merge_suspend_for);
  tasks.merge_ladder.window = absl::GetFlag(FLAGS_merge_trend_window);
  if (tasks.merge_ladder.suspend_for < absl::ZeroDuration() ||
      tasks.merge_ladder.window < absl::Seconds(1)) {
    return InvalidArgument("--merge_suspend_for, --merge_trend_window",
                           "must be 0 or more, and 1s or more");
  }
  return tasks;
}

absl::StatusOr<RepositoryLimits> ParseRepositoryLimits() {
  RepositoryLimits limits;
  limits.max_hanging = absl::GetFlag(FLAGS_hanging_workers_limit);
  if (limits.max_hanging < 1)
    return InvalidArgument("--hanging_workers_limit", "must be 1 or more");
  limits.rest = absl::GetFlag(FLAGS_probe_interval);
  return limits;
}

}  // namespace

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  absl::FlagsUsageConfig usage;
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::EndsWith(file, "executor/options.cc");
  };
  usage.version_string = [] {
    return absl::StrCat("vmkeep-executor ", kVersion, kFaultPointsNote, "\n");
  };
  absl::SetFlagsUsageConfig(usage);
  absl::SetProgramUsageMessage(
      "takes, publishes and scrubs backups on one host.\n"
      "Flags may stand in a file: --flagfile=/etc/vmkeep/executor.flags");
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    return InvalidArgument(rest[1], "is no flag; vmkeep-executor takes flags only, see --help");
  }
  Options options;
  options.listen = absl::GetFlag(FLAGS_listen);
  options.tls_ca = absl::GetFlag(FLAGS_tls_ca);
  options.tls_cert = absl::GetFlag(FLAGS_tls_cert);
  options.tls_key = absl::GetFlag(FLAGS_tls_key);
  options.state_dir = absl::GetFlag(FLAGS_state_dir);
  options.hypervisor = absl::GetFlag(FLAGS_hypervisor);
  options.libvirt_uri = absl::GetFlag(FLAGS_libvirt_uri);
  options.apparmor_allowed = absl::GetFlag(FLAGS_apparmor_allowed);
  options.hyperv_interpreter = absl::GetFlag(FLAGS_hyperv_interpreter);
  options.hyperv_scripts = absl::GetFlag(FLAGS_hyperv_scripts);
  if (options.hyperv_scripts.empty()) options.hyperv_scripts = BesideUs("scripts");
  options.sim_dir = absl::GetFlag(FLAGS_sim_dir);
  options.sim_vms = absl::GetFlag(FLAGS_sim_vms);
  options.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  options.worker_binary = absl::GetFlag(FLAGS_worker_binary);
  if (options.worker_binary.empty()) {
    options.worker_binary = BesideUs(absl::StrCat("vmkeep-worker", kProgramEnding));
  }
  options.log_file = absl::GetFlag(FLAGS_log_file);
  if (options.hypervisor != "libvirt" && options.hypervisor != "hyperv" &&
      options.hypervisor != "sim") {
    return InvalidArgument("--hypervisor", "must be libvirt, hyperv or sim");
  }
  if (options.hypervisor == "sim" && !fs::IsAbsolute(options.sim_dir)) {
    return InvalidArgument("--sim_dir", "must be an absolute path with --hypervisor=sim");
  }
  VMKEEP_ASSIGN_OR_RETURN(options.log_level, ParseLevel(absl::GetFlag(FLAGS_log_level)));
  VMKEEP_ASSIGN_OR_RETURN(options.tasks, ParseTaskOptions());
  VMKEEP_ASSIGN_OR_RETURN(options.repositories, ParseRepositoryLimits());
  options.tasks.flat_view_dir = FlatViewDir(options.state_dir);
  return options;
}

absl::Status InitLog(const Options& options) {
  constexpr char kProgram[] = "vmkeep-executor";
  if (!options.log_file.empty())
    return log::InitToFile(kProgram, options.log_level, options.log_file);
  log::Init(kProgram, options.log_level);
  return absl::OkStatus();
}

}  // namespace vmkeep::executor
