// A copy that was cut off is gone on with: whatever a kill or a power cut left of its files, the
// answer and the files are those of a copy that was never interrupted. The states of the disk are
// made by hand here (a stand-in for the power cut); a real kill is in crash_test.py.
#include "common/digest/digest.h"
#include "tests/support/fail_syscall.h"
#include "tests/unit/worker/worker_fixture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::worker {
namespace {

using digest::kChunkBytes;
using digest::kLineBytes;
using google::protobuf::util::MessageDifferencer;
using test::HasReason;
using test::IsOk;
using ::testing::IsEmpty;

constexpr char kImage[] = "disk-vda.raw";
constexpr char kList[] = "disk-vda.raw.sha256";

class ResumeTest : public WorkerTest {
 protected:
  // Ten chunks and a bit: data, a hole, zeros that are allocated, data that is not aligned.
  void SetUp() override {
    WorkerTest::SetUp();
    source_ = MakeSource("");
    ASSERT_EQ(truncate(source_.c_str(), 10 * kChunkBytes + 12'345), 0);
    Write(source_, 0, RandomBytes(9'000'000, 1));
    Write(source_, 5 * kChunkBytes, std::string(kChunkBytes, '\0'));
    Write(source_, 6 * kChunkBytes + 100'000, RandomBytes(6'000'000, 2));
    Write(source_, 10 * kChunkBytes, RandomBytes(12'345, 3));
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result whole, Run(CopyRequest(source_)));
    whole_ = whole.copy();
    image_ = test::ReadFile(Incoming(kImage));
    list_ = test::ReadFile(Incoming(kList));
    blocks_ = StatOf(Incoming(kImage)).st_blocks;
    ASSERT_TRUE(image_ == test::ReadFile(source_));
  }

  static void Write(const std::string& path, int64_t offset, const std::string& bytes) {
    const int fd = open(path.c_str(), O_WRONLY);
    ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), offset), static_cast<ssize_t>(bytes.size()));
    close(fd);
  }

  int64_t chunks() const { return static_cast<int64_t>(list_.size()) / kLineBytes; }

  // The files as a kill leaves them: `kept` chunks are flushed, and behind them the image holds
  // `behind`, from end to end, where anything may have been written.
  void Leave(int64_t kept, char behind, const std::string& list_tail = "") {
    const auto whole = static_cast<size_t>(kept * kChunkBytes);
    std::filesystem::remove_all(Incoming());
    std::filesystem::create_directories(Incoming());
    ASSERT_TRUE(test::WriteFile(Incoming(kImage), image_.substr(0, whole)));
    PunchWhereTheSourceHasHoles(std::min(whole, image_.size()));
    ASSERT_EQ(truncate(Incoming(kImage).c_str(), static_cast<off_t>(image_.size())), 0);
    if (behind != '\0' && whole < image_.size()) {
      Write(Incoming(kImage), static_cast<int64_t>(whole),
            std::string(image_.size() - whole, behind));
    }
    ASSERT_TRUE(test::WriteFile(
        Incoming(kList), list_.substr(0, static_cast<size_t>(kept * kLineBytes)) + list_tail));
  }

  // The request of a restarted executor. `asked`: bytes that were read of the source.
  absl::StatusOr<v1::CopyResult> Resume(int64_t* begun_at = nullptr) {
    v1::Request request = CopyRequest(source_);
    request.mutable_copy()->set_resume(true);
    std::optional<int64_t> first;
    JobContext context(&RealClock(), [&](const v1::Progress& progress) {
      if (!first) first = progress.bytes_done();
    });
    const absl::StatusOr<v1::Result> result = RunJob(request, &context);
    if (begun_at != nullptr) *begun_at = first.value_or(-1);
    if (!result.ok()) return result.status();
    return result->copy();
  }

  void ExpectTheSameAsNeverInterrupted(const v1::CopyResult& result) {
    EXPECT_TRUE(test::ReadFile(Incoming(kImage)) == image_);
    EXPECT_EQ(test::ReadFile(Incoming(kList)), list_);
    EXPECT_TRUE(MessageDifferencer::Equals(result, whole_)) << result.ShortDebugString() << "\n"
                                                            << whole_.ShortDebugString();
    EXPECT_LE(StatOf(Incoming(kImage)).st_blocks, blocks_ + 64);
    EXPECT_EQ(Tree(Incoming()), (std::vector<std::string>{kImage, kList}));
  }

  std::string source_;
  v1::CopyResult whole_;
  std::string image_;
  std::string list_;
  blkcnt_t blocks_ = 0;

 private:
  // WriteFile() filled what the worker leaves out.
  void PunchWhereTheSourceHasHoles(size_t bytes) {
    constexpr size_t kPiece = 64 << 10;
    const int fd = open(Incoming(kImage).c_str(), O_WRONLY);
    for (size_t at = 0; at < bytes; at += kPiece) {
      const std::string piece = image_.substr(at, std::min(kPiece, bytes - at));
      if (piece.find_first_not_of('\0') != std::string::npos) continue;
      ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                          static_cast<off_t>(piece.size())),
                0);
    }
    close(fd);
  }
};

// Seen red: without the cut of the image (stale bytes in holes), with the root of the new lines
// alone, with the kept data bytes not counted, and with the plan begun at chunk 0.
TEST_F(ResumeTest, FromEveryChunkWhateverLiesBehindIt) {
  for (int64_t kept = 0; kept <= chunks(); ++kept) {
    for (const char behind : {'\0', 'x'}) {
      SCOPED_TRACE(testing::Message() << kept << " chunks kept, then " << int{behind});
      Leave(kept, behind);
      int64_t begun_at = -1;
      VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume(&begun_at));
      ExpectTheSameAsNeverInterrupted(result);
      EXPECT_EQ(begun_at, std::min<int64_t>(kept * kChunkBytes, image_.size()));
    }
  }
}

// A line that is no whole one, zeros where a page of the list did not reach the disk, lines behind
// them. Seen red: with the number of lines taken from the list's length.
TEST_F(ResumeTest, GarbageInTheListEndsWhatIsKept) {
  const std::string zeros(kLineBytes, '\0');
  const std::string upper = std::string(64, 'A') + "\n";
  const std::string no_end = std::string(65, 'a');
  for (const std::string& tail : {std::string("0123"), std::string(64, 'a'), zeros, upper, no_end,
                                  "\n" + list_.substr(0, 130), zeros + list_.substr(0, 65)}) {
    Leave(3, 'x', tail);
    int64_t begun_at = -1;
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume(&begun_at));
    ExpectTheSameAsNeverInterrupted(result);
    EXPECT_EQ(begun_at, 3 * kChunkBytes);
  }
}

// No copy of this source leaves such files: all is copied again, into new ones.
TEST_F(ResumeTest, WhatNoCopyLeftIsNotGoneOnWith) {
  const std::vector<std::function<void()>> changes = {
      [&] { std::filesystem::remove(Incoming(kImage)); },
      [&] { std::filesystem::remove(Incoming(kList)); },
      [&] { std::filesystem::remove_all(Incoming()); },
      // The image is shorter than the list says.
      [&] { ASSERT_EQ(truncate(Incoming(kImage).c_str(), 3 * kChunkBytes - 1), 0); },
      // Of a larger source.
      [&] { ASSERT_EQ(truncate(Incoming(kImage).c_str(), image_.size() + 1), 0); },
      [&] { ASSERT_TRUE(test::WriteFile(Incoming(kList), list_ + list_.substr(0, 65))); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    Leave(4, 'x');
    changes[i]();
    int64_t begun_at = -1;
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume(&begun_at));
    ExpectTheSameAsNeverInterrupted(result);
    EXPECT_EQ(begun_at, 0);
  }
}

// What another put in the place of the files is replaced, never written through. Seen red: with
// links of the second kind (another name of a file) opened.
TEST_F(ResumeTest, AForeignFileInThePlaceIsLeftAlone) {
  const std::string foreign = root_.path("foreign");
  for (const char* file : {kImage, kList}) {
    for (const bool soft : {true, false}) {
      SCOPED_TRACE(testing::Message() << file << soft);
      Leave(4, 'x');
      const std::string content = test::ReadFile(Incoming(file));
      std::filesystem::remove(foreign);
      ASSERT_TRUE(test::WriteFile(foreign, content));
      std::filesystem::remove(Incoming(file));
      if (soft) {
        std::filesystem::create_symlink(foreign, Incoming(file));
      } else {
        std::filesystem::create_hard_link(foreign, Incoming(file));
      }
      VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume());
      ExpectTheSameAsNeverInterrupted(result);
      EXPECT_TRUE(test::ReadFile(foreign) == content);
    }
  }
}

// Another worker that has not ended yet: waited for, since its last flush may still speak.
TEST_F(ResumeTest, AnEarlierWorkerIsWaitedFor) {
  Leave(4, 'x');
  const int other = open(Incoming(kList).c_str(), O_RDWR);
  ASSERT_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  std::thread ends([&] {
    RealClock().WaitFor(absl::Milliseconds(300), {});
    EXPECT_TRUE(test::ReadFile(Incoming(kImage)).back() == 'x') << "nothing is touched meanwhile";
    close(other);
  });
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume());
  ends.join();
  ExpectTheSameAsNeverInterrupted(result);
}

// Killed inside the first flush: not a line of the list may be there yet. Seen red: with the lines
// written before the image was flushed.
TEST_F(ResumeTest, NoLineIsWrittenBeforeItsChunkIsFlushed) {
  std::filesystem::remove_all(Incoming());
  std::filesystem::create_directories(Incoming());
  EXPECT_EXIT(
      {
        test::InstallFilter(SYS_fsync, SECCOMP_RET_KILL_PROCESS);
        (void)Run(CopyRequest(source_));
      },
      testing::KilledBySignal(SIGSYS), "");
  EXPECT_EQ(test::ReadFile(Incoming(kList)), "");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume());
  ExpectTheSameAsNeverInterrupted(result);
}

TEST_F(ResumeTest, AFailedFlushIsFinal) {
  Leave(4, 'x');
  EXPECT_EXIT(
      {
        test::TrapSyscall(SYS_fsync, EIO);
        const bool failed = !Resume().ok();
        std::exit(failed && test::TrappedCalls() == 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

// The parent's end keeps the files, a cancel takes them.
TEST_F(ResumeTest, ACancelRemovesTheFilesOfAResumedCopyToo) {
  for (const auto why : {JobContext::Why::kAsked, JobContext::Why::kParentEnded}) {
    Leave(4, 'x');
    v1::Request request = CopyRequest(source_);
    request.mutable_copy()->set_resume(true);
    JobContext context(&RealClock(), [](const v1::Progress&) {});
    ASSERT_TRUE(context.Cancel(why));
    EXPECT_THAT(RunJob(request, &context), HasReason("CANCELLED"));
    if (why == JobContext::Why::kAsked) {
      EXPECT_THAT(Tree(Incoming()), IsEmpty());
    } else {
      int64_t begun_at = -1;
      VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, Resume(&begun_at));
      ExpectTheSameAsNeverInterrupted(result);
      EXPECT_EQ(begun_at, 4 * kChunkBytes);
    }
  }
}

}  // namespace
}  // namespace vmkeep::worker
