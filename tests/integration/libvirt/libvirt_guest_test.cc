// A guest that writes numbered records to both disks, and its agent: what reaches the copies and
// the merged disks.

#include "common/uuid.h"
#include "tests/integration/libvirt/backup.h"
#include "tests/integration/libvirt/lab.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

namespace vmkeep::executor {
namespace {

using ::testing::HasSubstr;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;

// One for all tests: it boots in about 5 s.
class Guest {
 public:
  Guest() : uuid_(NewUuid4()), folder_(lab::NewFolder("guest")) {
    lab::Tool("guest-image", {folder_ + "/kernel"});
    lab::Tool("guest-disk", {Disk("vda"), "raw", "512M", "data-vda", "16"});
    lab::Tool("guest-disk", {Disk("vdb"), "qcow2", "512M", "data-vdb", "16"});
    const std::string xml = folder_ + "/domain.xml";
    EXPECT_TRUE(test::WriteFile(
        xml, lab::Tool("domain-xml",
                       {"guest", uuid_, folder_ + "/kernel", "--disk", "vda:raw:" + Disk("vda"),
                        "--disk", "vdb:qcow2:" + Disk("vdb"), "--cmdline", "lab.writer=20"})));
    lab::Virsh({"define", xml});
  }

  const std::string& uuid() const { return uuid_; }
  std::string Disk(const std::string& target) const {
    return absl::StrCat(folder_, "/", target, target == "vda" ? ".raw" : ".qcow2");
  }
  static std::string Format(const std::string& target) { return target == "vda" ? "raw" : "qcow2"; }

  bool Start() const {
    lab::Virsh({"start", uuid_});
    // Until the agent is there and the writer has begun.
    return lab::Eventually([&] { return Connected(); }, absl::Seconds(60)) && WritesOn();
  }
  bool Connected() const {
    return absl::StrContains(lab::Virsh({"dumpxml", uuid_}),
                             "name='org.qemu.guest_agent.0' state='connected'");
  }
  std::string Agent(const std::string& command) const {
    return lab::Virsh({"qemu-agent-command", uuid_, command});
  }
  bool AgentAnswers() const {
    return lab::Succeeds({"virsh", "-q", "-c", "qemu:///system", "qemu-agent-command", "--timeout",
                          "1", uuid_, R"({"execute":"guest-ping"})"});
  }
  bool Frozen() const {
    return absl::StrContains(Agent(R"({"execute":"guest-fsfreeze-status"})"), "\"frozen\"");
  }

  // The last record that the guest called safe.
  int Acked(const std::string& target) const {
    int last = -1;
    EXPECT_TRUE(absl::SimpleAtoi(lab::Tool("acked", {folder_ + "/guest.console", target}), &last));
    return last;
  }
  bool ShutDown() const {
    lab::Virsh({"shutdown", uuid_});
    return lab::Eventually(
        [&] { return absl::StrContains(lab::Virsh({"domstate", uuid_}), "shut off"); });
  }
  bool WritesOn() const {
    for (const char* target : {"vda", "vdb"}) {
      const int before = Acked(target);
      if (!lab::Eventually([&] { return Acked(target) > before + 3; })) return false;
    }
    return true;
  }
  // Fails the program where a record is missing.
  static void CheckRecords(const std::string& file, const std::string& target, int at_least) {
    lab::Tool("records-check", {file, "data-" + target, "--format", Format(target), "--at-least",
                                absl::StrCat(at_least)});
  }

 private:
  const std::string uuid_;
  const std::string folder_;
};

// A file system that was frozen is clean; one that was caught in the middle has a journal to
// replay.
bool NeedsRecovery(const std::string& raw_ext4) {
  return absl::StrContains(lab::Run({"dumpe2fs", "-h", raw_ext4}), "needs_recovery");
}

std::string Digest(const std::string& file) { return lab::Run({"sha256sum", file}); }

class GuestTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    guest_ = new Guest;
    ASSERT_TRUE(guest_->Start());
  }
  static void TearDownTestSuite() {
    // A test may have left it off.
    (void)lab::Succeeds({"virsh", "-q", "-c", "qemu:///system", "destroy", guest_->uuid()});
    delete guest_;
  }

  VmDescription Describe() {
    absl::StatusOr<VmDescription> vm = hypervisor_->Describe(guest_->uuid());
    EXPECT_THAT(vm, IsOk());
    return vm.ok() ? *std::move(vm) : VmDescription{};
  }

  static Guest* guest_;
  // Short, as a test with a hung agent waits for it several times.
  const std::unique_ptr<Hypervisor> hypervisor_ =
      lab::OpenLibvirt({.agent_timeout = absl::Seconds(2)});
};
Guest* GuestTest::guest_ = nullptr;

TEST_F(GuestTest, TwoBackupsInARowMissNoRecord) {
  for (int round = 0; round < 2; ++round) {
    std::map<std::string, int> acked;
    for (const char* target : {"vda", "vdb"}) acked[target] = guest_->Acked(target);
    const VmDescription vm = Describe();
    const SnapshotPlan plan = lab::PlanFor(vm, QuiescePolicy::kRequired);
    const absl::StatusOr<SnapshotResult> result = hypervisor_->Snapshot(plan);
    ASSERT_THAT(result, IsOk());
    EXPECT_EQ(result->consistency, Consistency::kFilesystem);
    EXPECT_THAT(result->quiesce_detail, HasSubstr("froze"));
    EXPECT_FALSE(guest_->Frozen());

    // Nobody writes to the bases while the guest goes on.
    std::map<std::string, std::string> digests;
    for (const OverlayDisk& disk : plan.disks) digests[disk.base] = Digest(disk.base);
    ASSERT_TRUE(guest_->WritesOn());
    for (const OverlayDisk& disk : plan.disks) {
      const std::string copy = absl::StrCat(lab::NewFolder("copy"), "/", disk.target);
      std::filesystem::copy_file(disk.base, copy);
      EXPECT_EQ(Digest(disk.base), digests[disk.base]);
      if (disk.base_format == "raw") {
        EXPECT_FALSE(NeedsRecovery(copy)) << "it was not frozen";
      }
      Guest::CheckRecords(copy, disk.target, acked[disk.target]);
    }
    ASSERT_THAT(lab::Finish(*hypervisor_, vm, plan), IsOk());
    ASSERT_TRUE(guest_->WritesOn());
  }
}

TEST_F(GuestTest, LibvirtdKilledInTheMergeOfAWritingGuest) {
  const VmDescription vm = Describe();
  const SnapshotPlan plan = lab::PlanFor(vm);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  ASSERT_TRUE(guest_->WritesOn());
  ASSERT_THAT(hypervisor_->StartMerge(plan.disks[0]), IsOk());
  lab::Tool("libvirtd-restart", {"--kill"});
  EXPECT_THAT(lab::Finish(*hypervisor_, vm, plan), IsOk());
  EXPECT_TRUE(guest_->WritesOn());
}

// The agent is "not connected" for a moment after a restart of libvirtd: the thaw of a recovery has
// to try again.
TEST_F(GuestTest, ThawAlsoRightAfterARestartOfLibvirtd) {
  guest_->Agent(R"({"execute":"guest-fsfreeze-freeze"})");
  ASSERT_TRUE(guest_->Frozen());
  lab::Tool("libvirtd-restart", {"--kill"});
  EXPECT_TRUE(lab::Eventually([&] { return hypervisor_->Thaw(guest_->uuid()).ok(); }));
  ASSERT_TRUE(lab::Eventually([&] { return guest_->Connected(); }));
  EXPECT_FALSE(guest_->Frozen());
  EXPECT_THAT(hypervisor_->Thaw(guest_->uuid()), IsOk()) << "thawed already";
  EXPECT_TRUE(guest_->WritesOn());
}

TEST_F(GuestTest, FreezeOfSomebodyElseIsSaidAndLeft) {
  guest_->Agent(R"({"execute":"guest-fsfreeze-freeze"})");
  const VmDescription vm = Describe();
  EXPECT_THAT(hypervisor_->Snapshot(lab::PlanFor(vm, QuiescePolicy::kRequired)),
              HasReason("QUIESCE_FAILED"));
  const SnapshotPlan plan = lab::PlanFor(vm, QuiescePolicy::kIfAvailable);
  const absl::StatusOr<SnapshotResult> result = hypervisor_->Snapshot(plan);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->consistency, Consistency::kCrash);
  EXPECT_THAT(result->quiesce_detail, HasSubstr("somebody else"));
  EXPECT_TRUE(guest_->Frozen());
  EXPECT_THAT(lab::Finish(*hypervisor_, vm, plan), IsOk());
  guest_->Agent(R"({"execute":"guest-fsfreeze-thaw"})");
  EXPECT_TRUE(guest_->WritesOn());
}

TEST_F(GuestTest, HungAgentIsGivenUpByPolicy) {
  const VmDescription vm = Describe();
  // It comes back by itself, for the tests after this one.
  guest_->Agent(R"({"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c",)"
                R"("sleep 1; killall -STOP qemu-ga; sleep 30; killall -CONT qemu-ga"]}})");
  ASSERT_TRUE(lab::Eventually([&] { return !guest_->AgentAnswers(); }));
  EXPECT_TRUE(guest_->Connected()) << "the port is open in the guest, that is all it says";
  EXPECT_THAT(hypervisor_->Snapshot(lab::PlanFor(vm, QuiescePolicy::kRequired)),
              HasReason("QUIESCE_FAILED"));
  const SnapshotPlan plan = lab::PlanFor(vm, QuiescePolicy::kIfAvailable);
  const absl::StatusOr<SnapshotResult> result = hypervisor_->Snapshot(plan);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->consistency, Consistency::kCrash);
  EXPECT_FALSE(hypervisor_->Thaw(guest_->uuid()).ok()) << "nobody knows whether it is frozen";
  EXPECT_THAT(lab::Finish(*hypervisor_, vm, plan), IsOk());
  EXPECT_TRUE(lab::Eventually([&] { return hypervisor_->Thaw(guest_->uuid()).ok(); }));
  EXPECT_TRUE(guest_->WritesOn());
}

// Last, as the records can be read of a guest that is off.
TEST_F(GuestTest, ShutdownOnTheOverlayAndStartInMidCopyLoseNothing) {
  const VmDescription vm = Describe();
  const SnapshotPlan plan = lab::PlanFor(vm, QuiescePolicy::kIfAvailable);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  ASSERT_TRUE(guest_->WritesOn());
  ASSERT_TRUE(guest_->ShutDown());
  ASSERT_THAT(lab::Finish(*hypervisor_, vm, plan), IsOk());
  for (const OverlayDisk& disk : plan.disks) {
    Guest::CheckRecords(disk.base, disk.target, guest_->Acked(disk.target));
  }

  // It is off now, and starts while its disks are copied.
  std::map<std::string, int> acked;
  for (const char* target : {"vda", "vdb"}) acked[target] = guest_->Acked(target);
  const VmDescription off = Describe();
  EXPECT_EQ(off.power, PowerState::kOff);
  EXPECT_EQ(off.inactive_xml, vm.inactive_xml);
  const SnapshotPlan second = lab::PlanFor(off, QuiescePolicy::kRequired);
  ASSERT_THAT(hypervisor_->Snapshot(second), IsOk());
  ASSERT_TRUE(guest_->Start());
  for (const OverlayDisk& disk : second.disks) {
    const std::string copy = absl::StrCat(lab::NewFolder("copy"), "/", disk.target);
    std::filesystem::copy_file(disk.base, copy);
    Guest::CheckRecords(copy, disk.target, acked[disk.target]);
  }
  ASSERT_THAT(lab::Finish(*hypervisor_, off, second), IsOk());
  ASSERT_TRUE(guest_->WritesOn());
  EXPECT_EQ(Describe().inactive_xml, vm.inactive_xml);
  // As a power cut would: what the guest saw flushed since then is on the merged disks.
  lab::Virsh({"destroy", guest_->uuid()});
  for (const OverlayDisk& disk : second.disks) {
    Guest::CheckRecords(disk.base, disk.target, guest_->Acked(disk.target));
  }
}

}  // namespace
}  // namespace vmkeep::executor
