// The binary by its pipes: what a parent may rely on whatever happens to either of them.
#include "common/jsonl/jsonl.h"
#include "common/process/process.h"
#include "tests/unit/worker/worker_fixture.h"

#include "absl/time/clock.h"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::worker {
namespace {

using process::ChildProcess;
using test::IsOk;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kSoon = absl::Seconds(20);

class WorkerProcessTest : public WorkerTest {
 protected:
  // One worker and what it said.
  struct Worker {
    std::unique_ptr<ChildProcess> child;
    std::vector<v1::Response> lines;
    jsonl::LineReader reader;

    // Reads until the first line that `wanted` accepts, or the end.
    template <typename Wanted>
    bool ReadUntil(const Wanted& wanted) {
      while (true) {
        absl::StatusOr<std::optional<std::string>> line = reader.Next();
        if (line.ok() && *line) {
          lines.emplace_back();
          EXPECT_THAT(jsonl::Decode(**line, &lines.back()), IsOk());
          if (wanted(lines.back())) return true;
          continue;
        }
        const absl::StatusOr<ChildProcess::Output> output = child->ReadSome(kSoon);
        if (!output.ok() || output->bytes.empty()) return false;
        reader.Append(output->bytes);
      }
    }
    // Everything to the end, and the exit status.
    process::ExitStatus Finish() {
      ReadUntil([](const v1::Response&) { return false; });
      return child->Wait(kSoon).value_or(process::ExitStatus{-1, -1});
    }
    int Answers() const {
      return static_cast<int>(std::count_if(
          lines.begin(), lines.end(),
          [](const v1::Response& line) { return line.has_result() || line.has_error(); }));
    }
  };

  static Worker Start(std::vector<std::string> argv = {VMKEEP_WORKER}) {
    absl::StatusOr<std::unique_ptr<ChildProcess>> child = process::Spawn({.argv = std::move(argv)});
    EXPECT_THAT(child, IsOk());
    return Worker{.child = *std::move(child), .lines = {}, .reader = {}};
  }

  static Worker StartJob(const v1::Request& request) {
    Worker worker = Start();
    EXPECT_THAT(worker.child->Write(jsonl::Encode(request).value(), kSoon), IsOk());
    return worker;
  }

  v1::Request ProbeRequest() const {
    v1::Request request;
    *request.mutable_probe()->mutable_repository() = Repository();
    return request;
  }

  // The most memory that the process has had so far; 0 when it is gone.
  static int64_t PeakKib(pid_t pid) {
    const std::string status = test::ReadFile("/proc/" + std::to_string(pid) + "/status");
    const size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::atoll(status.c_str() + at + 6);
  }

  // Long enough to be under way for a while.
  std::string LargeSource() {
    const std::string piece = RandomBytes(16 << 20, 1);
    std::string content;
    for (int i = 0; i < 10; ++i) content += piece;
    return MakeSource(content);
  }
};

TEST_F(WorkerProcessTest, OneRequestOneAnswerExitZero) {
  Worker worker = StartJob(ProbeRequest());
  EXPECT_EQ(worker.Finish().code, 0);
  ASSERT_EQ(worker.lines.size(), 1u);
  EXPECT_EQ(worker.lines[0].result().probe().id(), kRepositoryId);
}

TEST_F(WorkerProcessTest, AFailureIsOneErrorLineAndExitOne) {
  v1::Request request = ProbeRequest();
  request.mutable_probe()->mutable_repository()->set_id(kOtherId);
  Worker worker = StartJob(request);
  EXPECT_EQ(worker.Finish().code, 1);
  ASSERT_EQ(worker.lines.size(), 1u);
  const v1::Error& error = worker.lines[0].error();
  EXPECT_EQ(error.code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(error.reason(), "REPOSITORY_MISMATCH");
  EXPECT_EQ(error.metadata().at("found"), kRepositoryId);
  EXPECT_THAT(error.message(), HasSubstr("mount the right one"));
}

TEST_F(WorkerProcessTest, GarbageIsAnErrorNotAJob) {
  const std::vector<std::string> before = Tree(root_.path());
  for (const char* line :
       {"\n", "hello\n", "{}\n", "{\"cancel\":{}}\n", "[1]\n", "{\"probe\":7}\n", "\xff\xfe\n"}) {
    Worker worker = Start();
    ASSERT_THAT(worker.child->Write(line, kSoon), IsOk());
    EXPECT_EQ(worker.Finish().code, 1) << line;
    ASSERT_EQ(worker.Answers(), 1) << line;
    EXPECT_EQ(worker.lines.back().error().code(),
              static_cast<int>(absl::StatusCode::kInvalidArgument))
        << line;
  }
  EXPECT_EQ(Tree(root_.path()), before);
}

TEST_F(WorkerProcessTest, ALineThatIsTooLongIsRefusedInBoundedMemory) {
  Worker worker = Start();
  // The worker answers and leaves as soon as it has read too much, so the last of it may not get
  // through.
  (void)worker.child->Write(std::string(64 << 20, 'x'), kSoon);
  EXPECT_EQ(worker.Finish().code, 1);
  ASSERT_EQ(worker.Answers(), 1);
  EXPECT_EQ(worker.lines.back().error().reason(), "LINE_TOO_LONG");
}

TEST_F(WorkerProcessTest, AnEndWithoutARequestIsAnError) {
  Worker worker = Start();
  worker.child->CloseStdin();
  EXPECT_EQ(worker.Finish().code, 1);
  EXPECT_EQ(worker.Answers(), 1);
}

// Whatever comes after the request cancels. Seen red: without the watching thread the copy ran to
// its end.
TEST_F(WorkerProcessTest, CancelEndAndGarbageCancelACopyWithinASecond) {
  const std::string source = LargeSource();
  const char* const kEnd = nullptr;
  for (const char* line : {"{\"cancel\":{}}\n", kEnd, "garbage\n"}) {
    Worker worker = StartJob(CopyRequest(source));
    ASSERT_TRUE(
        worker.ReadUntil([](const v1::Response& response) { return response.has_progress(); }));
    const absl::Time asked = absl::Now();
    if (line == kEnd) {
      worker.child->CloseStdin();
    } else {
      ASSERT_THAT(worker.child->Write(line, kSoon), IsOk());
    }
    EXPECT_EQ(worker.Finish().code, 1);
    EXPECT_LT(absl::Now() - asked, absl::Seconds(1));
    EXPECT_EQ(worker.Answers(), 1);
    EXPECT_EQ(worker.lines.back().error().reason(), "CANCELLED");
    // At the end alone the parent is gone: its next life goes on with the files.
    const size_t files = line == kEnd ? 2 : 0;
    EXPECT_EQ(Tree(Incoming()).size(), files) << (line == kEnd ? "end" : line);
  }
}

// Seen red: with the rest of the first read dropped.
TEST_F(WorkerProcessTest, ACancelInTheSameReadAsTheRequestCounts) {
  Worker worker = Start();
  const std::string both = jsonl::Encode(CopyRequest(LargeSource())).value() + "{\"cancel\":{}}\n";
  ASSERT_THAT(worker.child->Write(both, kSoon), IsOk());
  EXPECT_EQ(worker.Finish().code, 1);
  EXPECT_EQ(worker.lines.back().error().reason(), "CANCELLED");
}

TEST_F(WorkerProcessTest, ATwentyGibibyteDiskIsAMatterOfItsData) {
  const std::string source = MakeSource("");
  constexpr int64_t kSize = int64_t{20} << 30;
  ASSERT_EQ(truncate(source.c_str(), kSize), 0);
  const int fd = open(source.c_str(), O_WRONLY);
  const std::string piece = RandomBytes(10 << 20, 1);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(pwrite(fd, piece.data(), piece.size(), i * (int64_t{2} << 30) + i * 12'345),
              static_cast<ssize_t>(piece.size()));
  }
  close(fd);
  const absl::Time start = absl::Now();
  Worker worker = StartJob(CopyRequest(source));
  int64_t peak_kib = 0;
  worker.ReadUntil([&](const v1::Response&) {
    // Not the rusage of wait4(): it begins with this process's own peak, which the child shares
    // until its exec.
    peak_kib = std::max(peak_kib, PeakKib(worker.child->id().pid));
    return false;
  });
  EXPECT_EQ(worker.Finish().code, 0);
  EXPECT_LT(absl::Now() - start, absl::Seconds(15));
  const v1::CopyResult& result = worker.lines.back().result().copy();
  EXPECT_EQ(result.file_bytes(), kSize);
  EXPECT_LE(result.data_bytes(), 110 << 20);
  EXPECT_LE(StatOf(Incoming("disk-vda.raw")).st_blocks * 512, 110 << 20);
  EXPECT_EQ(StatOf(Incoming("disk-vda.raw.sha256")).st_size, 65 * 5120);
  EXPECT_GT(peak_kib, 0);
#ifndef VMKEEP_SANITIZED  // a sanitizer's shadow counts as memory
  EXPECT_LE(peak_kib, 128 << 10);
#endif
  RecordProperty("peak_kib", static_cast<int>(peak_kib));
}

// With a file system that fails in the flush, as NFS does; the launcher makes the kernel fail that
// one call.
TEST_F(WorkerProcessTest, AFullQuotaAtTheFlushIsARepositoryThatIsFull) {
  std::filesystem::create_directories(Incoming());
  Worker worker = Start(
      {VMKEEP_FAIL_SYSCALL, std::to_string(SYS_fsync), std::to_string(EDQUOT), VMKEEP_WORKER});
  ASSERT_THAT(worker.child->Write(jsonl::Encode(CopyRequest(MakeSource("image"))).value(), kSoon),
              IsOk());
  EXPECT_EQ(worker.Finish().code, 1);
  const v1::Error& error = worker.lines.back().error();
  EXPECT_EQ(error.reason(), "REPOSITORY_FULL");
  EXPECT_EQ(error.code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Tree(Incoming()), IsEmpty());
}

}  // namespace
}  // namespace vmkeep::worker
