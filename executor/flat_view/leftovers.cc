#include "executor/flat_view/leftovers.h"

#include "common/log.h"
#include "common/process/process.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kEndWithin = absl::Seconds(5);

// As far as it can be read: of a process that ends meanwhile the read fails, which an iterator over
// the stream's buffer throws and this does not.
std::string ReadProc(pid_t pid, const char* name) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/", name), std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Whether a process is a qemu-nbd with an argument that begins so. The name first: to read the
// arguments of a process that hangs in the kernel, on a NAS that is gone, may hang too.
bool IsServer(pid_t pid, const std::string& prefix) {
  if (ReadProc(pid, "comm") != "qemu-nbd\n") return false;
  const std::string arguments = ReadProc(pid, "cmdline");
  for (const absl::string_view argument : absl::StrSplit(arguments, '\0')) {
    if (absl::StartsWith(argument, prefix)) return true;
  }
  return false;
}

void EndIfOurs(pid_t pid, const std::string& prefix) {
  // The start time first: whatever has the pid after that is not killed.
  const absl::StatusOr<uint64_t> start_time = process::StartTime(pid);
  if (!start_time.ok() || !IsServer(pid, prefix)) return;
  const bool gone = process::KillAndWait({pid, *start_time}, kEndWithin);
  log::Warning(gone ? "leftover_flat_view_killed" : "leftover_flat_view_does_not_end",
               {{"pid", pid}});
}

}  // namespace

void EndLeftoverViews(const std::string& folder) {
  if (folder.empty()) return;  // would be everybody's
  const std::string prefix = absl::StrCat("--socket=", folder, "/");
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &pid)) EndIfOurs(pid, prefix);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    if (entry.path().extension() == ".sock") std::filesystem::remove(entry.path(), failed);
  }
}

}  // namespace vmkeep::executor
