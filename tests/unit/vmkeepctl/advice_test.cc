#include "tools/vmkeepctl/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace vmkeep::ctl {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Reasons that never become the failure of a backup, with why not.
const std::map<std::string, std::string>& NeverAFailure() {
  static const auto& reasons = *new std::map<std::string, std::string>{
      {"ACCESS_DENIED", "refuses a call"},
      {"BACKUP_CLOSED", "refuses a call"},
      {"BACKUP_NOT_FOUND", "refuses a call"},
      {"BAD_ANSWER", "breaks the connection to a host"},
      {"BAD_PAGE_TOKEN", "refuses a call"},
      {"BAD_RESUME_TOKEN", "refuses a call"},
      {"CANNOT_LISTEN", "keeps a daemon from starting"},
      {"DATABASE_NEWER", "keeps a daemon from starting"},
      {"DRAINING", "refuses a call"},
      {"ETAG_MISMATCH", "refuses a call"},
      {"EXECUTOR_NOT_SEEN", "refuses a call"},
      {"EXECUTOR_SILENT", "breaks the connection to a host"},
      {"EXECUTOR_TAKEN", "refuses a host"},
      {"FILES_ON_OTHER_HOST", "refuses a call"},
      {"HOST_CHANGED", "refuses a host"},
      {"HOST_IN_USE", "refuses a call"},
      {"HOST_NOT_FOUND", "refuses a call"},
      {"HOST_UNREACHABLE", "is a condition: the backup waits"},
      {"ILLEGAL_TRANSITION", "refuses a call"},
      {"INJECTED_FAULT", "is of builds for tests alone"},
      {"INSECURE_LISTENER", "keeps a daemon from starting"},
      {"LOG_FILE", "keeps a daemon from starting"},
      {"MERGE_OUTRUN", "is an alert of a VM: the merge is tried on"},
      {"NAME_TAKEN", "refuses a call"},
      {"NOT_A_SERVICE", "keeps a daemon from starting"},
      {"NO_IDENTITY", "refuses a call"},
      {"REQUEST_ID_REUSED", "refuses a call"},
      {"SCRIPT_TAMPERED", "keeps a daemon from starting"},
      {"SEQUENCE_UNKNOWN", "ends an event stream"},
      {"SERVICE_CALL_FAILED", "answers \"service\" on the command line of vmkeep-executor.exe"},
      {"SERVICE_EXISTS", "answers \"service\" on the command line of vmkeep-executor.exe"},
      {"SERVICE_MARKED_FOR_DELETION",
       "answers \"service\" on the command line of vmkeep-executor.exe"},
      {"SERVICE_NOT_INSTALLED", "answers \"service\" on the command line of vmkeep-executor.exe"},
      {"SERVICE_NOT_STOPPED", "answers \"service\" on the command line of vmkeep-executor.exe"},
      {"SERVICE_RIGHTS", "answers \"service\" on the command line of vmkeep-executor.exe"},
      {"STALE_EXECUTOR", "drops an event"},
      {"STALE_TASK", "drops an event"},
      {"STATE_DIR", "keeps a daemon from starting"},
      {"STATE_DIR_IN_USE", "keeps a daemon from starting"},
      {"STORE_CLOSED", "refuses a call"},
      {"STORE_LOCKED", "keeps a daemon from starting"},
      {"UNFINISHED_BACKUP", "refuses a call"},
      {"UNKNOWN_OVERLAY", "is an alert of a VM that no task works on"},
      {"VM_ID_IS_A_NAME", "refuses a call"},
      {"VM_REGISTERED", "refuses a call"},
  };
  return reasons;
}

// Reason -> a source that gives it: literals behind a status code, or given to a `reason`.
std::map<std::string, std::string> ReasonsInTheSources() {
  static const std::regex kReason(
      R"re((?:StatusCode::k\w+,\s*|status\.code\(\),\s*|reason\s*=\s*)"([A-Z][A-Z0-9_]+)")re");
  std::map<std::string, std::string> found;
  for (const char* folder : {"common", "controller", "executor"}) {
    const std::filesystem::path root = std::filesystem::path(VMKEEP_SOURCE_DIR) / folder;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.path().extension() != ".cc") continue;
      std::ifstream file(entry.path());
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      for (std::sregex_iterator at(text.begin(), text.end(), kReason), end; at != end; ++at)
        found.emplace((*at)[1], entry.path().string());
    }
  }
  return found;
}

std::set<std::string> Advised() {
  std::set<std::string> reasons;
  for (const Advice& advice : AllAdvice()) reasons.emplace(advice.reason);
  return reasons;
}

v1::Backup Failed(const std::string& reason, v1::Backup::State state, bool retryable) {
  v1::Backup backup;
  backup.set_id("b1");
  backup.set_state(state);
  backup.mutable_failure()->set_reason(reason);
  backup.mutable_failure()->set_phase("COPYING");
  backup.mutable_failure()->set_retryable(retryable);
  return backup;
}

TEST(AdviceTest, EveryReasonHasAdviceOrIsKnownNeverToFailABackup) {
  const std::map<std::string, std::string> reasons = ReasonsInTheSources();
  // The sources were found and read at all.
  EXPECT_GT(reasons.size(), 60U);
  for (const auto& [reason, source] : reasons) {
    EXPECT_TRUE(Advised().contains(reason) != NeverAFailure().contains(reason))
        << reason << " of " << source
        << " needs its advice in advice.cc, or a word here why it never fails a backup";
  }
}

TEST(AdviceTest, WhatNeverFailsABackupStillExists) {
  const std::map<std::string, std::string> reasons = ReasonsInTheSources();
  for (const auto& [reason, why] : NeverAFailure())
    EXPECT_TRUE(reasons.contains(reason)) << reason << " is gone: remove it here";
}

TEST(AdviceTest, AdviceIsSortedAndInSentences) {
  std::string last;
  for (const Advice& advice : AllAdvice()) {
    EXPECT_LT(last, advice.reason);
    last = std::string(advice.reason);
    EXPECT_THAT(std::string(advice.to_do), EndsWith(".")) << advice.reason;
  }
}

TEST(AdviceTest, TheNextStepFitsTheState) {
  EXPECT_THAT(WhatToDo(Failed("OVERLAY_SPACE", v1::Backup::UNRESOURCED, true)),
              AllOf(HasSubstr("Make room on the host"),
                    HasSubstr("Another try can help: \"vmkeepctl backup retry b1 --wait\""),
                    HasSubstr("\"vmkeepctl backup scrub b1\"")));
  EXPECT_THAT(WhatToDo(Failed("CANNOT_BACK_UP", v1::Backup::UNRESOURCED, false)),
              HasSubstr("When that is done: \"vmkeepctl backup retry b1 --wait\""));
  EXPECT_THAT(WhatToDo(Failed("VM_BUSY", v1::Backup::REQUESTED, true)),
              AllOf(EndsWith("It is tried again by itself."), Not(HasSubstr("vmkeepctl"))));
  EXPECT_THAT(WhatToDo(Failed("OF_A_NEWER_CONTROLLER", v1::Backup::UNRESOURCED, false)),
              HasSubstr("knows no advice"));
}

TEST(AdviceTest, WhatIsOverNeedsNoAdvice) {
  EXPECT_THAT(WhatToDo(v1::Backup()), IsEmpty());
  EXPECT_THAT(WhatToDo(Failed("VM_BUSY", v1::Backup::CLOSED, true)), IsEmpty());
  // A backup that failed and is being scrubbed is over; a scrub that failed is not.
  v1::Backup backup = Failed("IO_ERROR", v1::Backup::SCRUB, true);
  EXPECT_THAT(WhatToDo(backup), IsEmpty());
  backup.mutable_failure()->set_phase("REMOVING");
  EXPECT_THAT(WhatToDo(backup), HasSubstr("The scrub is tried again by itself"));
}

}  // namespace
}  // namespace vmkeep::ctl
