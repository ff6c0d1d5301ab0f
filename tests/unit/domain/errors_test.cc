#include "controller/domain/errors.h"

#include "common/error.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace vmkeep::controller {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;
using vmkeep::test::HasReason;
using vmkeep::test::StatusIs;

struct Named {
  absl::Status status;
  absl::StatusCode code;
  std::string reason;
};

std::vector<Named> AllErrors() {
  using enum absl::StatusCode;
  const error::RepositoryName repository{2, "kvm-1", "/mnt/backup-s"};
  BackupRecord record;
  record.id = "b-1";
  return {
      {error::BackupNotFound("b-1"), kNotFound, "BACKUP_NOT_FOUND"},
      {error::VmNotFound("web"), kNotFound, "VM_NOT_FOUND"},
      {error::HostNotFound("kvm-1"), kNotFound, "HOST_NOT_FOUND"},
      {error::VmNameAmbiguous("web", {"u-1", "u-2"}), kFailedPrecondition, "VM_AMBIGUOUS"},
      {error::VmHostAmbiguous("u-1", {"kvm-1", "kvm-2"}), kFailedPrecondition, "VM_AMBIGUOUS"},
      {error::NameTaken("nightly", "b-1"), kAlreadyExists, "NAME_TAKEN"},
      {error::VmHasUnfinishedBackup("web", "b-1"), kFailedPrecondition, "UNFINISHED_BACKUP"},
      {error::VmOnOverlay("web", "u-1", "b-1", ""), kFailedPrecondition, "VM_ON_OVERLAY"},
      {error::IllegalTransition(BackupState::kClosed, BackupState::kScrub), kFailedPrecondition,
       "ILLEGAL_TRANSITION"},
      {error::RequestIdReused("r-1", "b-1"), kInvalidArgument, "REQUEST_ID_REUSED"},
      {error::EtagMismatch("b-1", "4", "7"), kAborted, "ETAG_MISMATCH"},
      {error::RepositoryUninitialized(repository), kFailedPrecondition, "REPOSITORY_UNINITIALIZED"},
      {error::RepositoryIll(repository, "stale handle"), kUnavailable, "REPOSITORY_ILL"},
      {error::RepositoryFull(repository, 10, 5), kResourceExhausted, "REPOSITORY_FULL"},
      {error::NoRepository("none is mounted", false), kFailedPrecondition, "NO_REPOSITORY"},
      {error::NoRepository("both are ill", true), kUnavailable, "NO_REPOSITORY"},
      {error::StaleTask(record, "a task"), kAborted, "STALE_TASK"},
      {error::HostChanged("kvm-1", "e-1", "e-2"), kFailedPrecondition, "HOST_CHANGED"},
      {error::ExecutorTaken("e-1", "kvm-1"), kFailedPrecondition, "EXECUTOR_TAKEN"},
      {error::VmRegistered("web", "u-1"), kAlreadyExists, "VM_REGISTERED"},
      {error::VmIdIsAName("web", "u-1"), kAlreadyExists, "VM_ID_IS_A_NAME"},
      {error::FilesOnOtherHost(record, "kvm-2"), kFailedPrecondition, "FILES_ON_OTHER_HOST"},
      {error::HostInUse("kvm-1"), kFailedPrecondition, "HOST_IN_USE"},
      {error::ExecutorNotSeen("kvm-1", "e-1", ""), kFailedPrecondition, "EXECUTOR_NOT_SEEN"},
      {error::StaleExecutor("kvm-1", "e-1"), kAborted, "STALE_EXECUTOR"},
      {error::StoreLocked("/x", "another controller"), kFailedPrecondition, "STORE_LOCKED"},
      {error::StoreClosed(), kUnavailable, "STORE_CLOSED"},
      {error::WatchDraining(7), kUnavailable, "DRAINING"},
      {error::BadPageToken(), kInvalidArgument, "BAD_PAGE_TOKEN"},
      {error::BadResumeToken(), kInvalidArgument, "BAD_RESUME_TOKEN"},
  };
}

bool Has(const absl::Status& status, absl::string_view detail) {
  return status.GetPayload(absl::StrCat("type.googleapis.com/google.rpc.", detail)).has_value();
}

TEST(ErrorsTest, EachHasItsCodeAndReason) {
  for (const Named& error : AllErrors())
    EXPECT_THAT(error.status, AllOf(StatusIs(error.code), HasReason(error.reason)));
}

// "; " or ": " before the remedy, no full stop that a caller's context would break.
TEST(ErrorsTest, EachSaysWhatToDo) {
  for (const Named& error : AllErrors()) {
    const std::string message(error.status.message());
    EXPECT_GT(message.size(), 30u) << error.reason;
    EXPECT_TRUE(message.find(": ") != std::string::npos || message.find("; ") != std::string::npos)
        << message;
  }
}

TEST(ErrorsTest, WhatPassesByItselfSaysWhenToRetryAndWhatMustChangeSaysWhat) {
  for (const Named& error : AllErrors()) {
    const bool passing = error.code == absl::StatusCode::kUnavailable;
    EXPECT_EQ(Has(error.status, "RetryInfo"), passing) << error.reason;
    const bool precondition =
        error.code == absl::StatusCode::kFailedPrecondition && error.reason != "NO_REPOSITORY";
    EXPECT_EQ(Has(error.status, "PreconditionFailure"), precondition) << error.reason;
    if (error.code == absl::StatusCode::kNotFound) {
      EXPECT_TRUE(Has(error.status, "ResourceInfo")) << error.reason;
    }
  }
}

TEST(ErrorsTest, ProgramsFindTheIds) {
  EXPECT_THAT(ErrorDetails(error::NameTaken("nightly", "b-1")), Contains(Pair("backup_id", "b-1")));
  EXPECT_THAT(ErrorDetails(error::VmHasUnfinishedBackup("web", "b-1")),
              Contains(Pair("backup_id", "b-1")));
  EXPECT_THAT(ErrorDetails(error::VmNameAmbiguous("web", {"u-1", "u-2"})),
              Contains(Pair("vm_uuids", "u-1,u-2")));
  EXPECT_THAT(ErrorDetails(error::VmHostAmbiguous("u", {"a", "b"})),
              Contains(Pair("host_ids", "a,b")));
  EXPECT_THAT(ErrorDetails(error::WatchDraining(7)), Contains(Pair("revision", "7")));
}

TEST(ErrorsTest, AFullRepositoryTellsTheNumbers) {
  const absl::Status full =
      error::RepositoryFull({1, "kvm-1", "/mnt/backup-p"}, int64_t{10} << 30, int64_t{5} << 30);
  EXPECT_THAT(std::string(full.message()),
              AllOf(HasSubstr("10.0 GiB"), HasSubstr("5.0 GiB"), HasSubstr("/mnt/backup-p")));
}

}  // namespace
}  // namespace vmkeep::controller
