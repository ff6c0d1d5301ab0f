#include "executor/task/merge.h"

#include "common/error.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/errors.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/task/scripted_hypervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::_;
using ::testing::AnyNumber;
using ::testing::HasSubstr;
using ::testing::InSequence;
using ::testing::Return;
using ::testing::StrictMock;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

MergeStatus At(MergePhase phase, int64_t done = 0, int64_t total = 0) {
  return {phase, done, total};
}

class MergeTest : public ::testing::Test {
 protected:
  MergeTest() {
    // Each merge ends with the guest as free as it was.
    EXPECT_CALL(hypervisor_, HelpMerge(_, MergeHelp{}))
        .Times(AnyNumber())
        .WillRepeatedly(Return(absl::OkStatus()));
  }
  MergeContext Context() { return {hypervisor_, clock_, absl::Minutes(10), stop_.get_token()}; }

  StrictMock<test::MockHypervisor> hypervisor_;
  test::JumpingClock clock_;
  std::stop_source stop_;
  const OverlayDisk disk_{"vm", "vda", "/d/a.raw", "raw", "/d/a.raw.vmkeep-t.qcow2"};
};

TEST_F(MergeTest, LiveMergeStartsIsWatchedAndPivots) {
  InSequence order;
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kNone, 0, 9)));
  EXPECT_CALL(hypervisor_, StartMerge).WillOnce(Return(absl::OkStatus()));
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kRunning, 5, 9)));
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kReady, 9, 9)));
  EXPECT_CALL(hypervisor_, Pivot).WillOnce(Return(error::MergeNotReady("vda")));
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kReady, 9, 9)));
  EXPECT_CALL(hypervisor_, Pivot).WillOnce(Return(absl::OkStatus()));
  std::vector<int64_t> done;
  EXPECT_THAT(MergeDisk(Context(), disk_,
                        [&](const MergeStatus& status) { done.push_back(status.bytes_done); }),
              IsOk());
  EXPECT_THAT(done, ::testing::ElementsAre(0, 5, 9, 9));
}

TEST_F(MergeTest, MergedDiskIsLeftAlone) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kMerged)));
  EXPECT_THAT(MergeDisk(Context(), disk_), IsOk());
}

TEST_F(MergeTest, VmThatIsOffIsCommittedOffline) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kOffline)));
  EXPECT_CALL(hypervisor_, CommitOffline).WillOnce(Return(absl::OkStatus()));
  EXPECT_THAT(MergeDisk(Context(), disk_), IsOk());
}

TEST_F(MergeTest, VmThatStartsUnderAnOfflineMergeIsMergedLive) {
  InSequence order;
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kOffline)));
  EXPECT_CALL(hypervisor_, CommitOffline)
      .WillOnce(Return(error::HypervisorFailed("commit", "the image is locked")));
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kReady)));
  EXPECT_CALL(hypervisor_, Pivot).WillOnce(Return(absl::OkStatus()));
  EXPECT_THAT(MergeDisk(Context(), disk_), IsOk());
}

TEST_F(MergeTest, HypervisorThatIsGoneIsWaitedFor) {
  int looks = 0;
  EXPECT_CALL(hypervisor_, GetMergeStatus)
      .WillRepeatedly([&](const OverlayDisk&) -> absl::StatusOr<MergeStatus> {
        if (++looks <= 40) return error::HypervisorUnavailable("libvirtd restarts");
        return At(MergePhase::kMerged);
      });
  EXPECT_THAT(MergeDisk(Context(), disk_), IsOk());
  EXPECT_EQ(looks, 41);
  EXPECT_EQ(clock_.waits(), 40) << "each look after a wait";
}

TEST_F(MergeTest, DeadlineSaysWhatWasInTheWay) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillRepeatedly(Return(At(MergePhase::kNone)));
  EXPECT_CALL(hypervisor_, StartMerge)
      .WillRepeatedly(Return(error::MergeFailed("vda", "no space left")));
  const absl::Status status = MergeDisk(Context(), disk_);
  EXPECT_THAT(status, HasReason("MERGE_DEADLINE"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no space left"));
  EXPECT_GE(clock_.Monotonic(), absl::Minutes(10));
  EXPECT_LE(clock_.Monotonic(), absl::Minutes(11));
}

TEST_F(MergeTest, MergeThatNeverConvergesEndsAtItsDeadline) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillRepeatedly(Return(At(MergePhase::kRunning, 1, 2)));
  EXPECT_CALL(hypervisor_, HelpMerge).WillRepeatedly(Return(absl::OkStatus()));
  EXPECT_THAT(MergeDisk(Context(), disk_), HasReason("MERGE_DEADLINE"));
}

// From outside of the ladder: in which order the hypervisor hears of it, and that the guest is
// told.
TEST_F(MergeTest, GuestThatOutrunsItsMergeIsHelpedAndLeftAsItWas) {
  int64_t looks = 0;
  bool limited = false;
  EXPECT_CALL(hypervisor_, GetMergeStatus)
      .WillRepeatedly([&](const OverlayDisk&) -> absl::StatusOr<MergeStatus> {
        ++looks;
        return limited ? At(MergePhase::kReady)
                       : At(MergePhase::kRunning, looks * 1000, looks * 1000 + 500);
      });
  EXPECT_CALL(hypervisor_, Pivot).WillOnce(Return(absl::OkStatus()));
  InSequence order;
  EXPECT_CALL(hypervisor_, HelpMerge(_, ::testing::Field(&MergeHelp::full_speed, true)))
      .WillOnce(Return(error::HypervisorFailed("help", "refused")));
  EXPECT_CALL(hypervisor_,
              HelpMerge(_, ::testing::Field(&MergeHelp::write_bytes_per_second, ::testing::Gt(0))))
      .WillOnce([&](const OverlayDisk&, const MergeHelp&) {
        limited = true;
        return absl::OkStatus();
      });
  // The last word, and once more while the hypervisor is away.
  EXPECT_CALL(hypervisor_, HelpMerge(_, MergeHelp{}))
      .WillOnce(Return(error::HypervisorUnavailable("libvirtd restarts")))
      .WillOnce(Return(absl::OkStatus()));
  EXPECT_THAT(MergeDisk(Context(), disk_), IsOk());
}

// It would get home in time: the room would not last.
TEST_F(MergeTest, ScarceRoomIsToldAndHelpsTheMergeAtOnce) {
  int64_t left = 1'000'000;
  EXPECT_CALL(hypervisor_, GetMergeStatus)
      .WillRepeatedly([&](const OverlayDisk&) -> absl::StatusOr<MergeStatus> {
        left -= 1000;
        return left > 0 ? At(MergePhase::kRunning, 1'000'000 - left, 1'000'000)
                        : At(MergePhase::kReady);
      });
  EXPECT_CALL(hypervisor_, Pivot).WillOnce(Return(absl::OkStatus()));
  EXPECT_CALL(hypervisor_, HelpMerge(_, ::testing::Ne(MergeHelp{})))
      .Times(::testing::AtLeast(2))
      .WillRepeatedly(Return(absl::OkStatus()));
  MergeContext context = Context();
  context.room = [] { return error::OverlaySpace("/d", 2, 1); };
  bool told = false;
  context.on_trouble = [&](const OverlayDisk&, const absl::Status& status) {
    told = told || absl::IsResourceExhausted(status);
  };
  EXPECT_THAT(MergeDisk(context, disk_), IsOk());
  EXPECT_TRUE(told);
}

TEST_F(MergeTest, GuestThatNothingHelpsAgainstIsToldAndLeftAlone) {
  int64_t looks = 0;
  EXPECT_CALL(hypervisor_, GetMergeStatus)
      .WillRepeatedly([&](const OverlayDisk&) -> absl::StatusOr<MergeStatus> {
        ++looks;
        return At(MergePhase::kRunning, looks * 1000, looks * 1000 + 500);
      });
  EXPECT_CALL(hypervisor_, HelpMerge(_, ::testing::Ne(MergeHelp{})))
      .WillRepeatedly(Return(absl::OkStatus()));
  MergeContext context = Context();
  std::vector<absl::Duration> told;
  context.on_trouble = [&](const OverlayDisk&, const absl::Status& status) {
    EXPECT_THAT(status, HasReason("MERGE_OUTRUN"));
    told.push_back(clock_.Monotonic());
  };
  EXPECT_THAT(MergeDisk(context, disk_), HasReason("MERGE_DEADLINE"));
  // Ten minutes: a ladder of a minute and a half, five minutes of rest, and another one.
  ASSERT_EQ(told.size(), 2);
  EXPECT_LT(told[0], absl::Seconds(100));
  EXPECT_GT(told[1] - told[0], absl::Minutes(5));
}

TEST_F(MergeTest, VmThatIsGoneIsNotWaitedFor) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(error::VmNotFound("vm")));
  EXPECT_THAT(MergeDisk(Context(), disk_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(MergeTest, StopEndsTheWaitNotTheDeed) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kNone)));
  EXPECT_CALL(hypervisor_, StartMerge).WillOnce(Return(absl::OkStatus()));
  stop_.request_stop();
  EXPECT_THAT(MergeDisk(Context(), disk_), HasReason("EXECUTOR_STOPPED"));
}

TEST_F(MergeTest, DefinitionIsPutBackAfterMergingOnceMoreWhatAStartTookBack) {
  InSequence order;
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kMerged)));
  EXPECT_CALL(hypervisor_, Restore)
      .WillOnce(Return(error::VmOnOverlay("vm", {disk_.overlay}, "it was started")));
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kReady)));
  EXPECT_CALL(hypervisor_, Pivot).WillOnce(Return(absl::OkStatus()));
  EXPECT_CALL(hypervisor_, Restore).WillOnce(Return(absl::OkStatus()));
  EXPECT_THAT(RestoreDefinition(Context(), {}, {disk_}), IsOk());
}

// The disk was merged offline; meanwhile, while another disk was merged say, the VM ran on its
// overlay and is off again. Put back as it is, the definition would lose what it wrote.
TEST_F(MergeTest, WhatWasWrittenSinceAnOfflineMergeIsMergedBeforeTheDefinitionIsPutBack) {
  InSequence order;
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kOffline)));
  EXPECT_CALL(hypervisor_, CommitOffline).WillOnce(Return(absl::OkStatus()));
  EXPECT_CALL(hypervisor_, Restore).WillOnce(Return(absl::OkStatus()));
  EXPECT_THAT(RestoreDefinition(Context(), {}, {disk_}), IsOk());
}

TEST_F(MergeTest, DefinitionThatStaysWrongIsGivenUp) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillRepeatedly(Return(At(MergePhase::kMerged)));
  EXPECT_CALL(hypervisor_, Restore)
      .WillRepeatedly(Return(error::VmOnOverlay("vm", {disk_.overlay}, "edited by hand")));
  EXPECT_THAT(RestoreDefinition(Context(), {}, {disk_}), HasReason("VM_ON_OVERLAY"));
}

// A second flush would succeed, whatever the first one lost.
TEST_F(MergeTest, FlushThatFailedIsNotAskedForAgain) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillOnce(Return(At(MergePhase::kMerged)));
  EXPECT_CALL(hypervisor_, Restore).WillOnce(Return(error::BaseNotFlushed("/d/a.raw", "EIO")));
  EXPECT_THAT(RestoreDefinition(Context(), {}, {disk_}), HasReason("BASE_NOT_FLUSHED"));
}

TEST_F(MergeTest, EveryOverlayIsTriedAndTheFirstErrorTold) {
  OverlayDisk other = disk_;
  other.target = "vdb";
  EXPECT_CALL(hypervisor_, RemoveOverlay)
      .WillOnce(Return(error::VmOnOverlay("vm", {disk_.overlay}, "named by another VM")))
      .WillOnce(Return(absl::OkStatus()));
  EXPECT_THAT(RemoveOverlays(Context(), {disk_, other}), HasReason("VM_ON_OVERLAY"));
}

TEST_F(MergeTest, ThawIsRepeatedWhileTheAgentComesBack) {
  EXPECT_CALL(hypervisor_, Thaw(absl::string_view("vm")))
      .WillOnce(Return(error::HypervisorUnavailable("not connected")))
      .WillOnce(Return(error::HypervisorUnavailable("not connected")))
      .WillOnce(Return(absl::OkStatus()));
  ThawSurely(Context(), "vm");
}

TEST_F(MergeTest, ThawGivesUpInTimeForTheMergeToStartWithin30Seconds) {
  EXPECT_CALL(hypervisor_, Thaw).WillRepeatedly(Return(error::HypervisorFailed("thaw", "hung")));
  ThawSurely(Context(), "vm");
  EXPECT_LT(clock_.Monotonic(), absl::Seconds(30));
}

// Seen red with the time without a hypervisor counted: the guest would have stayed frozen.
TEST_F(MergeTest, ThawWaitsForAHypervisorThatIsAwayForLong) {
  bool thawed = false;
  EXPECT_CALL(hypervisor_, Thaw).WillRepeatedly([&](absl::string_view) -> absl::Status {
    if (clock_.Monotonic() < absl::Minutes(10)) return error::HypervisorUnavailable("down");
    thawed = true;
    return absl::OkStatus();
  });
  ThawSurely(Context(), "vm");
  EXPECT_TRUE(thawed);
}

TEST_F(MergeTest, TroubleThatDoesNotPassIsToldWhileTheMergeIsTriedOn) {
  EXPECT_CALL(hypervisor_, GetMergeStatus).WillRepeatedly(Return(At(MergePhase::kNone)));
  EXPECT_CALL(hypervisor_, StartMerge)
      .WillRepeatedly(Return(error::MergeFailed("vda", "no space left")));
  MergeContext context = Context();
  std::vector<absl::Duration> told;
  context.on_trouble = [&](const OverlayDisk& disk, const absl::Status& status) {
    EXPECT_EQ(disk.overlay, disk_.overlay);
    EXPECT_THAT(status, HasReason("MERGE_FAILED"));
    told.push_back(clock_.Monotonic());
  };
  EXPECT_THAT(MergeDisk(context, disk_), HasReason("MERGE_DEADLINE"));
  ASSERT_FALSE(told.empty());
  EXPECT_GT(told.front(), absl::Milliseconds(500)) << "what passes at once is no trouble";
  EXPECT_LT(told.front(), absl::Seconds(10));
}

}  // namespace
}  // namespace vmkeep::executor
