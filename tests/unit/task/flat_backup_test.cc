// A VM whose disk is a chain, served by the real qemu-nbd; hypervisor and worker are the tests'
// own.
#include "common/error.h"
#include "common/process/process.h"
#include "tests/support/qemu_images.h"
#include "tests/unit/task/task_manager_fixture.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::ElementsAre;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;

// The process that listens on a unix socket.
pid_t ListenerOf(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes), 0);
  close(fd);
  return peer.pid;
}

class FlatBackupTest : public TaskManagerTest {
 protected:
  FlatBackupTest() : TaskManagerTest(/*disks=*/1) {
    // The VM's own image, in its place, on a golden one.
    source_ = DiskPath("vda");
    gold_ = folder_.path("gold, one.qcow2");
    vmkeep::test::RunQemu({"qemu-img", "create", "-q", "-f", "qcow2", gold_, "8M"});
    vmkeep::test::CreateOn(gold_, "qcow2", source_);
    ON_CALL(hypervisor_, Describe).WillByDefault([this](absl::string_view uuid) {
      absl::StatusOr<VmDescription> vm = sim_.Describe(uuid);
      if (!vm.ok()) return vm;
      vm->disks[0].format = "qcow2";
      vm->disks[0].virtual_bytes = 8 << 20;
      vm->disks[0].backing = {{gold_, "qcow2", ""}};
      return vm;
    });
    ON_CALL(hypervisor_, StartMerge).WillByDefault([this](const OverlayDisk& disk) {
      ++merges_;
      if (Locked()) ++merges_kept_out_;
      return sim_.StartMerge(disk);
    });
    options_.merge_deadline = TaskOptions().merge_deadline;
    options_.flat_view_dir = folder_.path("state/flat");
    Restart();
  }

  // A task whose worker copies until it is stopped.
  TaskRecord StartedToCopy() {
    worker_.on_copy = [this](const std::stop_token& stop) {
      copying_ = true;
      return Hang(stop);
    };
    TaskRecord record = Started();
    EXPECT_TRUE(Eventually([this] { return copying_.load(); }));
    return record;
  }

  // Whether some process holds one of QEMU's locks on the VM's image: then a merge fails.
  bool Locked() const {
    const int fd = open(source_.c_str(), O_RDONLY | O_CLOEXEC);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 100;
    lock.l_len = 200;
    EXPECT_EQ(fcntl(fd, F_OFD_GETLK, &lock), 0);
    close(fd);
    return lock.l_type != F_UNLCK;
  }

  // The merge came, and nothing kept it out.
  void ExpectMergedFreely() {
    EXPECT_EQ(merges_, 1);
    EXPECT_EQ(merges_kept_out_, 0);
    EXPECT_FALSE(Locked());
  }

  std::string source_;
  std::string gold_;
  std::atomic<int> merges_ = 0;
  std::atomic<int> merges_kept_out_ = 0;
  std::atomic<bool> copying_ = false;
};

// Seen red: with the view kept until the end of the task.
TEST_F(FlatBackupTest, TheWorkerGetsAViewAndTheManifestTellsTheChain) {
  bool locked = false;
  worker::v1::Copy copy;
  worker::v1::Publish publish;
  worker_.on_request = [&](const worker::v1::Request& request) {
    if (request.has_copy()) copy = request.copy();
    if (request.has_copy()) locked = Locked();
    if (request.has_publish()) publish = request.publish();
  };
  std::vector<Hypervisor::RestoreFile> files;
  ON_CALL(hypervisor_, RestoreXml)
      .WillByDefault([&](const VmDescription& vm, const std::vector<Hypervisor::RestoreFile>& to) {
        files = to;
        return sim_.RestoreXml(vm, to);
      });
  EXPECT_EQ(End(Started()).outcome(), v1::TaskEnded::DONE);
  EXPECT_TRUE(locked) << "without its lock the test would prove nothing";
  ExpectMergedFreely();
  EXPECT_EQ(copy.source(), source_);
  EXPECT_EQ(copy.format(), "raw");
  EXPECT_EQ(copy.file(), "disk-vda.raw");
  EXPECT_EQ(copy.flat().export_name(), "vda");
  EXPECT_TRUE(copy.flat().socket().starts_with(options_.flat_view_dir + "/"));
  EXPECT_THAT(copy.flat().files(), ElementsAre(source_, gold_));
  ASSERT_EQ(publish.manifest().disks_size(), 1);
  const manifest::v1::Disk& disk = publish.manifest().disks(0);
  EXPECT_EQ(disk.file(), "disk-vda.raw");
  EXPECT_EQ(disk.format(), "raw");
  EXPECT_EQ(disk.source().path(), source_);
  EXPECT_EQ(disk.source().format(), "qcow2");
  EXPECT_THAT(disk.source().chain(), ElementsAre(gold_));
  EXPECT_EQ(disk.source().data_file(), "");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].file, "disk-vda.raw");
  EXPECT_EQ(files[0].format, "raw");
}

TEST_F(FlatBackupTest, ACopyThatFailsLeavesNoServerBehind) {
  worker_.on_copy = [](const std::stop_token&) { return absl::DataLossError("a bad sector"); };
  EXPECT_EQ(End(Started()).failure().phase(), "COPYING");
  ExpectMergedFreely();
}

TEST_F(FlatBackupTest, ACopyThatIsCancelledLeavesNoServerBehind) {
  const TaskRecord task = StartedToCopy();
  EXPECT_THAT(tasks_->Cancel(task.task), IsOkAndHolds(true));
  EXPECT_EQ(End(task).outcome(), v1::TaskEnded::CANCELLED);
  ExpectMergedFreely();
}

TEST_F(FlatBackupTest, ACopyThatIsGivenUpLeavesNoServerBehind) {
  const TaskRecord task = StartedToCopy();
  free_ = 1;  // no room for the overlay any more
  EXPECT_EQ(End(task).failure().reason(), "OVERLAY_SPACE");
  ExpectMergedFreely();
}

// What the worker sees is an end of its connection; the task knows what ended. Seen red: without
// Check().
TEST_F(FlatBackupTest, AServerThatIsKilledIsTheCauseThatIsTold) {
  worker_.on_request = [](const worker::v1::Request& request) {
    if (!request.has_copy()) return;
    const pid_t server = ListenerOf(request.copy().flat().socket());
    const absl::StatusOr<uint64_t> start_time = process::StartTime(server);
    ASSERT_THAT(start_time, IsOk());
    EXPECT_TRUE(process::KillAndWait({server, *start_time}, absl::Seconds(20)));
  };
  worker_.on_copy = [](const std::stop_token&) {
    return MakeError(absl::StatusCode::kUnavailable, "SOURCE_VIEW_LOST", "gone");
  };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "FLAT_VIEW_ENDED");
  EXPECT_TRUE(ended.failure().retryable());
  ExpectMergedFreely();
}

// Killed, the executor cannot end its server, which goes on holding its locks; the copy is gone on
// with by a new one. Seen red: without EndLeftoverViews() in Recover().
TEST_F(FlatBackupTest, AServerOfAnEarlierLifeIsEndedBeforeTheMerge) {
  const TaskRecord task = StartedToCopy();
  Restart();  // abandons the task in its copy
  ASSERT_EQ(merges_, 0);
  const std::string socket = options_.flat_view_dir + "/1.sock";
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const auto leftover,
      process::Spawn({.argv = {"qemu-nbd", "--read-only", "--persistent", "--socket=" + socket,
                               "-f", "qcow2", source_}}));
  ASSERT_TRUE(Eventually([this] { return Locked(); }));
  worker_.on_copy = nullptr;
  ASSERT_THAT(tasks_->Recover(), IsOk());
  EXPECT_EQ(End(task).outcome(), v1::TaskEnded::DONE);
  ExpectMergedFreely();
  EXPECT_FALSE(process::IsRunning(leftover->id()));
}

}  // namespace
}  // namespace vmkeep::executor
