#include "tools/vmkeepctl/exit_code.h"

#include "common/error.h"
#include "tools/vmkeepctl/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::ctl {
namespace {

using ::testing::HasSubstr;

TEST(ExitCodeTest, EveryStatusHasItsNumber) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), 0);
  for (const absl::StatusCode code :
       {absl::StatusCode::kNotFound, absl::StatusCode::kFailedPrecondition,
        absl::StatusCode::kAlreadyExists, absl::StatusCode::kPermissionDenied,
        absl::StatusCode::kUnauthenticated, absl::StatusCode::kAborted,
        absl::StatusCode::kResourceExhausted, absl::StatusCode::kInternal,
        absl::StatusCode::kUnknown, absl::StatusCode::kDataLoss, absl::StatusCode::kUnimplemented,
        absl::StatusCode::kCancelled}) {
    EXPECT_EQ(ExitCodeFor(absl::Status(code, "")), 1) << absl::StatusCodeToString(code);
  }
  EXPECT_EQ(ExitCodeFor(InvalidArgument("name", "too long")), 2);
  EXPECT_EQ(ExitCodeFor(error::Usage("no")), 2);
  EXPECT_EQ(ExitCodeFor(error::ControllerUnreachable("unix:/x", "no such file")), 3);
  EXPECT_EQ(ExitCodeFor(error::TimedOut("unix:/x")), 3);
  EXPECT_EQ(ExitCodeFor(absl::DeadlineExceededError("")), 3);
  EXPECT_EQ(ExitCodeFor(error::Interrupted()), 130);
}

TEST(ExitCodeTest, AControllerThatAnswersUnavailableWasReached) {
  EXPECT_EQ(ExitCodeFor(MakeError(absl::StatusCode::kUnavailable, "HOST_UNREACHABLE", "no answer")),
            1);
}

TEST(ExitCodeTest, AControllerThatGoesIsAbsent) {
  EXPECT_EQ(ExitCodeFor(MakeError(absl::StatusCode::kUnavailable, "DRAINING", "stopping")), 3);
}

TEST(ErrorsTest, AFailedBackupSaysWhereWhyAndWhetherToTryAgain) {
  v1::Backup backup;
  backup.set_id("b1");
  backup.set_state(v1::Backup::UNRESOURCED);
  backup.mutable_failure()->set_reason("REPOSITORY_FULL");
  backup.mutable_failure()->set_message("the repository lacks 2 GiB");
  backup.mutable_failure()->set_phase("COPYING");
  (*backup.mutable_failure()->mutable_metadata())["needed"] = "2147483648";
  absl::Status status = error::BackupFailed(backup);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorReason(status), "REPOSITORY_FULL");
  EXPECT_EQ(std::string(status.message()),
            "backup b1 failed in phase COPYING: the repository lacks 2 GiB; another try cannot "
            "help without a change");
  EXPECT_EQ(ErrorDetails(status), (ErrorMetadata{{"backup_id", "b1"},
                                                 {"needed", "2147483648"},
                                                 {"phase", "COPYING"},
                                                 {"retryable", "false"}}));

  backup.mutable_failure()->set_retryable(true);
  status = error::BackupFailed(backup);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another try can help"));
  EXPECT_EQ(ExitCodeFor(status), 1);
}

TEST(ErrorsTest, GrpcsOwnWordsAreLeftOut) {
  EXPECT_EQ(
      std::string(
          error::ControllerUnreachable(
              "unix:/x",
              "failed to connect to all addresses; last error: UNKNOWN: unix:/x: No such file")
              .message()),
      "the controller at unix:/x cannot be reached: unix:/x: No such file");
}

}  // namespace
}  // namespace vmkeep::ctl
