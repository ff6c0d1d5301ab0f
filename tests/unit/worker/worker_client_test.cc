#include "executor/worker_client/worker_client.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/process/process.h"
#include "tests/support/scoped_mount.h"
#include "tests/unit/worker/worker_fixture.h"

#include "absl/time/clock.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

namespace vmkeep::executor {
namespace {

using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using worker::v1::Progress;
using worker::v1::Request;
using worker::v1::Result;

constexpr absl::Duration kSoon = absl::Seconds(20);
constexpr absl::Duration kForever = absl::InfiniteDuration();

class WorkerClientTest : public worker::WorkerTest {
 protected:
  Request ProbeRequest() const {
    Request request;
    *request.mutable_probe()->mutable_repository() = Repository();
    return request;
  }

  std::string LargeSource() {
    const std::string piece = worker::RandomBytes(16 << 20, 1);
    std::string content;
    for (int i = 0; i < 10; ++i) content += piece;
    return MakeSource(content);
  }

  // A worker that does what the text says: a program in the place of ours.
  std::string FakeWorker(const std::string& python) {
    const std::string path = host_.path("fake-worker");
    EXPECT_TRUE(test::WriteFile(
        path, "#!/usr/bin/python3\nimport sys, time\nsys.stdin.readline()\n" + python + "\n"));
    EXPECT_EQ(chmod(path.c_str(), 0700), 0);
    return path;
  }

  absl::StatusOr<Result> RunFake(const std::string& python, absl::Duration deadline = kSoon,
                                 absl::Duration stall = kForever, const Request& request = {}) {
    return ProcessWorker(FakeWorker(python)).Run(request, deadline, stall, {}, {});
  }

  ProcessWorker worker_{VMKEEP_WORKER};
};

TEST_F(WorkerClientTest, AResultComesBackWithItsProcess) {
  pid_t pid = 0;
  uint64_t start_time = 0;
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const Result result, worker_.Run(ProbeRequest(), kSoon, kForever, {},
                                       {.on_progress = {}, .on_started = [&](pid_t p, uint64_t s) {
                                          pid = p;
                                          start_time = s;
                                          EXPECT_TRUE(process::IsRunning({p, s}));
                                        }}));
  EXPECT_EQ(result.probe().id(), worker::kRepositoryId);
  EXPECT_GT(start_time, 0u);
  EXPECT_FALSE(process::IsRunning({pid, start_time}));
}

TEST_F(WorkerClientTest, ACopyReportsProgress) {
  Progress last;
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const Result result,
      worker_.Run(
          CopyRequest(MakeSource(worker::RandomBytes(9'000'000, 1))), kSoon, kSoon, {},
          {.on_progress = [&](const Progress& progress) { last = progress; }, .on_started = {}}));
  EXPECT_EQ(result.copy().file_bytes(), 9'000'000);
  EXPECT_EQ(last.bytes_done(), 9'000'000);
  EXPECT_EQ(last.bytes_total(), 9'000'000);
}

TEST_F(WorkerClientTest, TheWorkersErrorIsTheCallersError) {
  Request request = ProbeRequest();
  request.mutable_probe()->mutable_repository()->set_id(worker::kOtherId);
  const absl::StatusOr<Result> result = worker_.Run(request, kSoon, kForever, {}, {});
  EXPECT_THAT(result, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("mount the right one")),
                            HasReason("REPOSITORY_MISMATCH")));
  EXPECT_EQ(ErrorDetails(result.status()).at("found"), worker::kRepositoryId);
}

TEST_F(WorkerClientTest, AStopIsAnsweredWithCancelledAndNothingIsLeft) {
  std::stop_source stop;
  absl::Time asked = absl::InfinitePast();
  EXPECT_THAT(worker_.Run(CopyRequest(LargeSource()), kSoon, kForever, stop.get_token(),
                          {.on_progress =
                               [&](const Progress&) {
                                 if (stop.request_stop()) asked = absl::Now();
                               },
                           .on_started = {}}),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
  EXPECT_LT(absl::Now() - asked, absl::Seconds(1));
  EXPECT_THAT(Tree(Incoming()), ::testing::IsEmpty());
}

TEST_F(WorkerClientTest, AStopBeforeTheStartIsACancelToo) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(worker_.Run(CopyRequest(LargeSource()), kSoon, kForever, stop.get_token(), {}),
              HasReason("CANCELLED"));
}

// Seen red: with the end of the output taken for success.
TEST_F(WorkerClientTest, AKilledWorkerIsAnError) {
  EXPECT_THAT(worker_.Run(CopyRequest(LargeSource()), kSoon, kForever, {},
                          {.on_progress = {},
                           .on_started = [](pid_t pid, uint64_t) { kill(pid, SIGKILL); }}),
              AllOf(StatusIs(absl::StatusCode::kUnavailable, HasSubstr("signal 9")),
                    HasReason("WORKER_DIED")));
}

TEST_F(WorkerClientTest, AWorkerThatExitsSilentlyIsAnErrorWhateverItsStatus) {
  EXPECT_THAT(RunFake("sys.exit(0)"), HasReason("WORKER_DIED"));
  EXPECT_THAT(RunFake("print('{\"progress\":{\"bytes_done\":1}}'); sys.exit(0)"),
              HasReason("WORKER_DIED"));
}

TEST_F(WorkerClientTest, AWorkerThatIsNotThereIsAnError) {
  EXPECT_THAT(ProcessWorker("/no/such/vmkeep-worker").Run(ProbeRequest(), kSoon, kForever, {}, {}),
              HasReason("PROGRAM_NOT_STARTED"));
}

TEST_F(WorkerClientTest, GarbageFromAWorkerIsAnErrorInBoundedMemory) {
  const auto is_protocol =
      AllOf(StatusIs(absl::StatusCode::kInternal), HasReason("WORKER_PROTOCOL"));
  EXPECT_THAT(RunFake("print('Segmentation fault', flush=True); time.sleep(60)"), is_protocol);
  EXPECT_THAT(RunFake("sys.stdout.write('x' * 100_000_000); sys.stdout.flush(); time.sleep(60)"),
              is_protocol);
  EXPECT_THAT(RunFake("print('{\"error\":{\"code\":0,\"reason\":\"X\"}}', flush=True)"),
              is_protocol);
  EXPECT_THAT(RunFake("print('{\"error\":{\"code\":99}}', flush=True)"), is_protocol);
}

TEST_F(WorkerClientTest, LinesOfANewerWorkerAreIgnored) {
  EXPECT_THAT(RunFake("print('{\"mood\":{\"good\":true}}'); "
                      "print('{\"result\":{\"remove\":{\"existed\":true}}}')"),
              IsOk());
}

TEST_F(WorkerClientTest, AResultCountsAlthoughTheWorkerLingers) {
  const absl::Time start = absl::Now();
  EXPECT_THAT(RunFake("print('{\"result\":{\"remove\":{}}}', flush=True); time.sleep(60)"), IsOk());
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST_F(WorkerClientTest, PastTheDeadlineItIsKilled) {
  const absl::Time start = absl::Now();
  EXPECT_THAT(RunFake("time.sleep(60)", absl::Milliseconds(300)),
              AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded), HasReason("WORKER_DEADLINE")));
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(300) + absl::Seconds(2));
}

TEST_F(WorkerClientTest, ACopyWithoutAMovedByteIsStalled) {
  Request copy;
  copy.mutable_copy()->set_source("/images/a");
  // Lines come, bytes do not.
  const std::string python =
      "while True:\n  print('{\"progress\":{\"bytes_done\":5,\"bytes_total\":10}}', flush=True); "
      "time.sleep(0.05)";
  EXPECT_THAT(RunFake(python, kSoon, absl::Milliseconds(500), copy),
              AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("/images/a")),
                    HasReason("COPY_STALLED")));
  // Only a copy is watched so.
  EXPECT_THAT(RunFake("time.sleep(1); print('{\"result\":{}}')", kSoon, absl::Milliseconds(300)),
              IsOk());
}

TEST_F(WorkerClientTest, ACopyThatMovesIsNotStalledHoweverSlow) {
  Request copy;
  copy.mutable_copy();
  const std::string python =
      "for i in range(20):\n  print('{\"progress\":{\"bytes_done\":%d}}' % i, flush=True); "
      "time.sleep(0.1)\n"
      "print('{\"result\":{\"copy\":{}}}')";
  EXPECT_THAT(RunFake(python, kSoon, absl::Seconds(1), copy), IsOk());
}

// A storage server that is gone, as the kernel shows it: the worker waits where no signal reaches
// it.
class HungRepositoryTest : public WorkerClientTest {
 protected:
  void SetUp() override {
    const std::string image = host_.path("disk.img");
    ASSERT_TRUE(test::WriteFile(image, ""));
    ASSERT_EQ(truncate(image.c_str(), 256 << 20), 0);
    loop_ = std::make_unique<test::LoopDevice>(image);
    if (loop_->path().empty()) GTEST_SKIP() << "no loop device: needs root";
    const auto mkfs = process::RunToEnd({"mkfs.ext4", "-q", loop_->path()}, absl::Seconds(30));
    if (!mkfs.ok() || !mkfs->exit_status.ok()) GTEST_SKIP() << "no mkfs.ext4";
    mount_ = std::make_unique<test::ScopedMount>(loop_->path(), root_.path(), "ext4", 0, nullptr);
    if (!mount_->mounted()) GTEST_SKIP() << "cannot mount";
    WorkerTest::SetUp();
    source_ = MakeSource(worker::RandomBytes(100 << 20, 1));
  }

  // Waits until the process is gone; false when it is not in time.
  static bool AwaitEnd(const process::ProcessId& id) {
    for (const absl::Time start = absl::Now(); absl::Now() - start < kSoon;
         RealClock().WaitFor(absl::Milliseconds(10), {})) {
      if (!process::IsRunning(id)) return true;
    }
    return false;
  }

  std::unique_ptr<test::LoopDevice> loop_;
  std::unique_ptr<test::ScopedMount> mount_;
  std::string source_;
  process::ProcessId hung_;
};

// Seen red: with Run() waiting for the killed worker to end.
TEST_F(HungRepositoryTest, AWorkerThatCannotDieIsAbandoned) {
  Request request = CopyRequest(source_);
  const absl::Time start = absl::Now();
  const absl::StatusOr<Result> result =
      worker_.Run(request, kSoon, absl::Seconds(1), {},
                  {.on_progress = {}, .on_started = [&](pid_t pid, uint64_t start_time) {
                     hung_ = {pid, start_time};
                     ASSERT_TRUE(mount_->Freeze());
                   }});
  EXPECT_THAT(result,
              AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded), HasReason("COPY_STALLED")));
  EXPECT_LT(absl::Now() - start, absl::Seconds(1) + absl::Seconds(2));
  EXPECT_TRUE(process::IsRunning(hung_)) << "it could be killed: this test shows nothing";
  // The storage is back: the abandoned one dies of its SIGKILL, and the next job finds it all in
  // order.
  mount_->Thaw();
  EXPECT_TRUE(AwaitEnd(hung_));
  Request discard;
  *discard.mutable_discard()->mutable_repository() = Repository();
  discard.mutable_discard()->set_incoming(worker::kIncoming);
  discard.mutable_discard()->set_vm_uuid(worker::kVm);
  discard.mutable_discard()->set_backup_id(worker::kBackup);
  EXPECT_THAT(worker_.Run(discard, kSoon, kForever, {}, {}), IsOk());
}

TEST_F(HungRepositoryTest, ACancelIsAnsweredWithinTwoSeconds) {
  std::stop_source stop;
  absl::Time asked;
  const absl::StatusOr<Result> result =
      worker_.Run(CopyRequest(source_), kSoon, kForever, stop.get_token(),
                  {.on_progress = {}, .on_started = [&](pid_t, uint64_t) {
                     ASSERT_TRUE(mount_->Freeze());
                     asked = absl::Now();
                     stop.request_stop();
                   }});
  EXPECT_THAT(result, HasReason("CANCELLED"));
  EXPECT_LT(absl::Now() - asked, absl::Seconds(2));
}

// The worker's own watchdog, for a parent that looks away.
TEST_F(HungRepositoryTest, TheWorkerItselfSaysThatItStalls) {
  Request request = CopyRequest(source_);
  request.mutable_copy()->set_stall_seconds(1);
  const absl::StatusOr<Result> result = worker_.Run(request, kSoon, kForever, {},
                                                    {.on_progress =
                                                         [&](const Progress& progress) {
                                                           if (progress.bytes_done() > 0) return;
                                                           ASSERT_TRUE(mount_->Freeze());
                                                         },
                                                     .on_started = {}});
  EXPECT_THAT(result, AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded,
                                     HasSubstr("no byte moved for 1s")),
                            HasReason("COPY_STALLED")));
}

}  // namespace
}  // namespace vmkeep::executor
