#include "controller/domain/repository_fault.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace vmkeep::controller {
namespace {

// The reasons that the executor and its worker can give, as their sources write them.
std::set<std::string> ReasonsIn(const std::string& file) {
  std::ifstream source(std::string(VMKEEP_SOURCE) + "/" + file);
  EXPECT_TRUE(source) << file;
  std::stringstream text;
  text << source.rdbuf();
  std::set<std::string> reasons;
  const std::string all = text.str();
  static const std::regex kReason("\"([A-Z]+(_[A-Z]+)+)\"");
  for (std::sregex_iterator it(all.begin(), all.end(), kReason), end; it != end; ++it)
    reasons.insert((*it)[1]);
  return reasons;
}

// A new error of the repository must be sorted here, or a backup would not move from it.
TEST(RepositoryFaultTest, EachReasonOfTheExecutorIsTheRepositorysFaultOrKnownNotToBe) {
  const std::set<std::string> not_its_fault = {
      "WORKER_DIED", "WORKER_PROTOCOL", "SOURCE_UNUSABLE", "SOURCE_READ_ERROR", "SOURCE_CHANGED",
      "SOURCE_BUSY", "SOURCE_VIEW_LOST", "ALREADY_PUBLISHED", "STALE_EPOCH", "EXECUTOR_STOPPED",
      "OVERLAY_SPACE", "EXECUTOR_RESTARTED", "DISK_CHANGED", "MERGE_DEADLINE", "MERGE_OUTRUN",
      "UNKNOWN_OVERLAY", "SEQUENCE_UNKNOWN", "EXPORT_DEADLINE", "EXPORT_LOST", "EXPORT_INCOMPLETE",
      "COPY_UNAVAILABLE",
      // Of common/fs: the worker tells by them which of the repository's it is.
      "NO_SPACE", "NOT_PERMITTED", "PATH_LEAVES_FOLDER",
      // Hyper-V's own: the host, the VM or our scripts.
      "SCRIPT_TAMPERED", "SCRIPT_FAILED", "SCRIPT_PROTOCOL", "SCRIPT_DEADLINE",
      "SCRIPT_NOT_CANCELLED", "HYPERV_MISSING", "HYPERV_ACCESS_DENIED", "VM_AMBIGUOUS",
      "VM_INVALID_STATE"};
  int faults = 0;
  for (const char* file : {"executor/worker/errors.cc", "executor/worker_client/errors.cc",
                           "executor/task/errors.cc", "executor/hypervisor/hyperv/errors.cc"}) {
    const std::set<std::string> reasons = ReasonsIn(file);
    EXPECT_GT(reasons.size(), 3u) << file;
    for (const std::string& reason : reasons) {
      EXPECT_NE(IsRepositoryFault(reason), not_its_fault.contains(reason)) << reason;
      faults += IsRepositoryFault(reason) ? 1 : 0;
    }
  }
  EXPECT_GE(faults, 18);
  EXPECT_FALSE(IsRepositoryFault(""));
  EXPECT_FALSE(IsRepositoryFault("CANCELLED"));
}

}  // namespace
}  // namespace vmkeep::controller
