#ifndef VMKEEP_TESTS_CONTRACT_HYPERVISOR_EXPORT_CONTRACT_H_
#define VMKEEP_TESTS_CONTRACT_HYPERVISOR_EXPORT_CONTRACT_H_

#include "common/error.h"
#include "executor/hypervisor/hypervisor.h"
#include "tests/contract/hypervisor/look_contract.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

// What executor/hypervisor/hypervisor.h promises of BackupMethod::kExport, as tests that every such
// backend passes, besides those of look_contract.h.
namespace vmkeep::executor {

// A VM as the look contract has it, whose guest can make its data consistent.
class ExportFixture : public LookFixture {
 public:
  // A new empty folder to export into.
  virtual std::string MakeFolder() = 0;
  // As files, with their paths below the folder.
  virtual std::vector<std::string> FilesBelow(const std::string& folder) = 0;
  // While held, an export that has begun does not end.
  virtual void HoldExports() = 0;
  virtual void ReleaseExports() = 0;
  // The guest cannot make its data consistent any more.
  virtual void TakeQuiesceAway() = 0;
  // A disk that an export would not hold.
  virtual void AttachPhysicalDisk() = 0;
  // The process that uses the hypervisor dies and is started anew: hypervisor() is another object.
  virtual void RestartProcess() = 0;
};

using ExportFixtureFactory = std::function<std::unique_ptr<ExportFixture>()>;

class ExportContract : public ::testing::TestWithParam<ExportFixtureFactory> {
 protected:
  void SetUp() override {
    fixture_ = GetParam()();
    if (fixture_ == nullptr) GTEST_SKIP() << "this machine cannot run the backend";
  }

  Hypervisor& hypervisor() { return fixture_->hypervisor(); }
  std::string uuid() { return fixture_->vm_uuid(); }

  ExportPlan Plan(QuiescePolicy quiesce = QuiescePolicy::kIfAvailable) {
    return {.vm_uuid = uuid(), .folder = fixture_->MakeFolder(), .quiesce = quiesce};
  }
  ExportStatus Status(const ExportPlan& plan) {
    const absl::StatusOr<ExportStatus> status = hypervisor().GetExportStatus(plan);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *status : ExportStatus{};
  }
  ExportStatus Await(const ExportPlan& plan, ExportPhase phase) {
    EXPECT_TRUE(Eventually([&] { return Status(plan).phase == phase; })) << Status(plan).error;
    return Status(plan);
  }
  // What is below the folder stands still: nobody writes there.
  bool StandsStill(const ExportPlan& plan) {
    const std::vector<std::string> before = fixture_->FilesBelow(plan.folder);
    RealClock().WaitFor(absl::Milliseconds(300), {});
    return fixture_->FilesBelow(plan.folder) == before;
  }

  std::unique_ptr<ExportFixture> fixture_;
};

TEST_P(ExportContract, AnExportHoldsTheVmAndItsDisks) {
  const absl::Time before = absl::Now();
  const VmDescription vm = *hypervisor().Describe(uuid());
  const ExportPlan plan = Plan();
  ASSERT_TRUE(hypervisor().StartExport(plan, {}).ok());
  const ExportStatus status = Await(plan, ExportPhase::kDone);
  EXPECT_TRUE(status.error.ok());
  EXPECT_EQ(status.percent, 100);
  EXPECT_EQ(status.result.consistency, Consistency::kApplication);
  EXPECT_FALSE(status.result.quiesce_detail.empty());
  EXPECT_GE(status.result.instant, before);
  EXPECT_LE(status.result.instant, absl::Now());
  const std::vector<std::string> files = fixture_->FilesBelow(plan.folder);
  EXPECT_THAT(files, ::testing::Contains(::testing::MatchesRegex(".*\\.vmcx")));
  for (const Disk& disk : vm.disks) {
    const std::string name = disk.source.substr(disk.source.rfind('/') + 1);
    EXPECT_THAT(files, ::testing::Contains(::testing::EndsWith("/" + name)));
  }
  EXPECT_TRUE(hypervisor().Describe(uuid()).ok()) << "it is free again";
}

TEST_P(ExportContract, TheVmIsBusyWhileItIsExported) {
  fixture_->HoldExports();
  const ExportPlan plan = Plan();
  ASSERT_TRUE(hypervisor().StartExport(plan, {}).ok());
  EXPECT_EQ(Status(plan).phase, ExportPhase::kRunning);
  EXPECT_EQ(ErrorReason(hypervisor().Describe(uuid()).status()), "VM_BUSY");
  const ExportPlan second = Plan();
  EXPECT_EQ(ErrorReason(hypervisor().StartExport(second, {})), "VM_BUSY");
  EXPECT_TRUE(hypervisor().EndExport(second).ok()) << "nobody writes there";
  EXPECT_EQ(Status(plan).phase, ExportPhase::kRunning) << "that one goes on";
  EXPECT_THAT(fixture_->FilesBelow(second.folder), ::testing::IsEmpty());
  fixture_->ReleaseExports();
  Await(plan, ExportPhase::kDone);
}

TEST_P(ExportContract, AnExportIsEndedAndStaysSo) {
  fixture_->HoldExports();
  const ExportPlan plan = Plan();
  ASSERT_TRUE(hypervisor().StartExport(plan, {}).ok());
  for (int time = 0; time < 2; ++time) {
    const absl::Status ended = hypervisor().EndExport(plan);
    EXPECT_TRUE(ended.ok()) << ended;
  }
  fixture_->ReleaseExports();
  EXPECT_TRUE(StandsStill(plan));
  const ExportStatus status = Status(plan);
  EXPECT_EQ(status.phase, ExportPhase::kFailed);
  EXPECT_FALSE(status.error.ok());
  const ExportPlan next = Plan();
  ASSERT_TRUE(hypervisor().StartExport(next, {}).ok()) << "the VM is free again";
  Await(next, ExportPhase::kDone);
  EXPECT_TRUE(hypervisor().EndExport(plan).ok()) << "the earlier one, after a later one";
  EXPECT_EQ(Status(next).phase, ExportPhase::kDone);
}

TEST_P(ExportContract, ARestartedProcessKnowsOfNoneAndEndsWhatRuns) {
  fixture_->HoldExports();
  const ExportPlan plan = Plan();
  ASSERT_TRUE(hypervisor().StartExport(plan, {}).ok());
  fixture_->RestartProcess();
  EXPECT_EQ(Status(plan).phase, ExportPhase::kNone);
  EXPECT_EQ(ErrorReason(hypervisor().Describe(uuid()).status()), "VM_BUSY") << "it goes on";
  const ExportPlan second = Plan();
  EXPECT_EQ(ErrorReason(hypervisor().StartExport(second, {})), "VM_BUSY") << "whoever exports it";
  for (int time = 0; time < 2; ++time) {
    const absl::Status ended = hypervisor().EndExport(plan);
    EXPECT_TRUE(ended.ok()) << ended;
  }
  EXPECT_TRUE(hypervisor().Describe(uuid()).ok());
  fixture_->ReleaseExports();
  EXPECT_TRUE(StandsStill(plan));
}

TEST_P(ExportContract, EndingWhatIsNotThereIsFine) {
  EXPECT_TRUE(hypervisor().EndExport(Plan()).ok());
  ExportPlan gone = Plan();
  gone.vm_uuid = kUnknownVm;
  EXPECT_TRUE(hypervisor().EndExport(gone).ok()) << "the VM is gone";
  EXPECT_EQ(Status(gone).phase, ExportPhase::kNone);
  const ExportPlan done = Plan();
  ASSERT_TRUE(hypervisor().StartExport(done, {}).ok());
  Await(done, ExportPhase::kDone);
  EXPECT_TRUE(hypervisor().EndExport(done).ok());
  EXPECT_EQ(Status(done).phase, ExportPhase::kDone) << "it is still done";
}

TEST_P(ExportContract, RequiredQuiesceIsNeverLessAndIfAvailableSaysSo) {
  fixture_->TakeQuiesceAway();
  const ExportPlan required = Plan(QuiescePolicy::kRequired);
  EXPECT_FALSE(hypervisor().StartExport(required, {}).ok());
  EXPECT_NE(Status(required).phase, ExportPhase::kDone);
  EXPECT_TRUE(hypervisor().EndExport(required).ok());
  const ExportPlan available = Plan(QuiescePolicy::kIfAvailable);
  ASSERT_TRUE(hypervisor().StartExport(available, {}).ok());
  const ExportStatus status = Await(available, ExportPhase::kDone);
  EXPECT_EQ(status.result.consistency, Consistency::kCrash);
  EXPECT_FALSE(status.result.quiesce_detail.empty());
}

TEST_P(ExportContract, NeverAsksTheGuestForNothing) {
  const ExportPlan plan = Plan(QuiescePolicy::kNever);
  ASSERT_TRUE(hypervisor().StartExport(plan, {}).ok());
  EXPECT_EQ(Await(plan, ExportPhase::kDone).result.consistency, Consistency::kCrash);
}

TEST_P(ExportContract, AStoppedVmIsExportedWhateverThePolicy) {
  fixture_->PowerOff();
  const ExportPlan plan = Plan(QuiescePolicy::kRequired);
  ASSERT_TRUE(hypervisor().StartExport(plan, {}).ok()) << "nobody is there to be asked";
  const ExportStatus status = Await(plan, ExportPhase::kDone);
  EXPECT_EQ(status.result.consistency, Consistency::kCrash);
  EXPECT_FALSE(status.result.quiesce_detail.empty());
}

TEST_P(ExportContract, AFolderThatVanishedIsAnErrorAndIsNotMade) {
  ExportPlan plan = Plan();
  plan.folder += "/not-there";
  const absl::Status status = hypervisor().StartExport(plan, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), "REPOSITORY_UNREACHABLE");
  EXPECT_FALSE(fixture_->FileExists(plan.folder));
  EXPECT_TRUE(hypervisor().EndExport(plan).ok());
}

TEST_P(ExportContract, AVmThatIsNotThereIsNotExported) {
  ExportPlan plan = Plan();
  plan.vm_uuid = kUnknownVm;
  EXPECT_EQ(ErrorReason(hypervisor().StartExport(plan, {})), "VM_NOT_FOUND");
  EXPECT_THAT(fixture_->FilesBelow(plan.folder), ::testing::IsEmpty());
}

TEST_P(ExportContract, WhatAnExportWouldLackIsRefusedBeforehand) {
  fixture_->AttachPhysicalDisk();
  EXPECT_EQ(ErrorReason(hypervisor().Describe(uuid()).status()), "CANNOT_BACK_UP");
}

}  // namespace vmkeep::executor

#endif  // VMKEEP_TESTS_CONTRACT_HYPERVISOR_EXPORT_CONTRACT_H_
