#include "executor/worker/copy.h"

#include "common/digest/digest.h"
#include "common/error.h"
#include "common/process/process.h"
#include "executor/worker/copy_source.h"
#include "executor/worker/host_source.h"
#include "tests/support/fail_syscall.h"
#include "tests/support/scoped_mount.h"
#include "tests/unit/worker/worker_fixture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace vmkeep::worker {
namespace {

using digest::kChunkBytes;
using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::IsEmpty;

class CopyTest : public WorkerTest {
 protected:
  absl::StatusOr<v1::CopyResult> CopyOf(
      const std::string& source,
      const std::function<void(JobContext*, const v1::Progress&)>& watch = {}) {
    RestlessClock clock;
    JobContext* context_of_sink = nullptr;
    JobContext context(&clock, [&](const v1::Progress& progress) {
      if (watch) watch(context_of_sink, progress);
    });
    context_of_sink = &context;
    const absl::StatusOr<v1::Result> result = RunJob(CopyRequest(source), &context);
    if (!result.ok()) return result.status();
    return result->copy();
  }

  // As split -b 4M --filter=sha256sum prints it, first column.
  static std::string ListBySplit(const std::string& path) {
    const auto split =
        process::RunToEnd({"split", "-b", "4M", "--filter=sha256sum", path}, absl::Seconds(30));
    EXPECT_TRUE(split.ok() && split->exit_status.ok());
    std::string list;
    for (size_t at = 0; at < split->out.size(); at = split->out.find('\n', at) + 1) {
      list += split->out.substr(at, 64) + "\n";
    }
    return list;
  }

  void ExpectSame(const std::string& source, const v1::CopyResult& result) {
    const std::string content = test::ReadFile(source);
    EXPECT_TRUE(test::ReadFile(Incoming("disk-vda.raw")) == content);
    const std::string list = test::ReadFile(Incoming("disk-vda.raw.sha256"));
    EXPECT_EQ(list, ListBySplit(source));
    EXPECT_EQ(result.file_bytes(), static_cast<int64_t>(content.size()));
    EXPECT_EQ(result.digest().root(), digest::ToHex(digest::Hash(list)));
    EXPECT_EQ(result.digest().algorithm(), "sha256");
    EXPECT_EQ(result.digest().chunk_bytes(), kChunkBytes);
    EXPECT_EQ(result.digest().list_file(), "disk-vda.raw.sha256");
  }

  void ExpectNothingLeft() { EXPECT_THAT(Tree(Incoming()), IsEmpty()); }
};

TEST_F(CopyTest, TheBytesAndTheirDigests) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{4 << 20},
                            size_t{(4 << 20) + 1}, size_t{13'000'001}}) {
    const std::string source = MakeSource(RandomBytes(size, static_cast<uint32_t>(size)));
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyOf(source));
    ExpectSame(source, result);
    EXPECT_EQ(result.data_bytes(), static_cast<int64_t>(size));
  }
  EXPECT_EQ(StatOf(Incoming("disk-vda.raw")).st_mode & 0777, 0600u);
  EXPECT_EQ(StatOf(Incoming("disk-vda.raw.sha256")).st_mode & 0777, 0600u);
  EXPECT_EQ(StatOf(Incoming()).st_mode & 0777, 0700u);
}

// Data, zeros and holes at random places, of random lengths, not aligned to anything. Seen red:
// with a hole taken for one chunk longer than it is, and with a hole's zeros not set in the buffer.
TEST_F(CopyTest, AnyLayoutOfDataZerosAndHoles) {
  for (uint32_t seed = 1; seed <= 8; ++seed) {
    std::mt19937 random(seed);
    const std::string source = host_.path("image");
    std::filesystem::remove(source);
    const int fd = open(source.c_str(), O_WRONLY | O_CREAT, 0600);
    const auto size = static_cast<off_t>(30'000'000 + random() % 20'000'000);
    ASSERT_EQ(ftruncate(fd, size), 0);
    for (off_t at = 0; at < size;) {
      const auto length =
          static_cast<size_t>(std::min(static_cast<off_t>(1 + random() % 10'000'000), size - at));
      const uint32_t kind = random() % 3;
      if (kind > 0) {
        const std::string piece =
            kind == 1 ? RandomBytes(length, random()) : std::string(length, '\0');
        ASSERT_EQ(pwrite(fd, piece.data(), length, at), static_cast<ssize_t>(length));
      }
      at += static_cast<off_t>(length);
    }
    close(fd);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyOf(source));
    SCOPED_TRACE(seed);
    ExpectSame(source, result);
  }
}

TEST_F(CopyTest, HolesStayHoles) {
  const std::string source = MakeSource("");
  ASSERT_EQ(truncate(source.c_str(), 200 << 20), 0);
  const int fd = open(source.c_str(), O_WRONLY);
  const std::string data = RandomBytes(100'000, 1);
  ASSERT_EQ(pwrite(fd, data.data(), data.size(), 50 << 20), 100'000);
  close(fd);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyOf(source));
  ExpectSame(source, result);
  EXPECT_LE(StatOf(Incoming("disk-vda.raw")).st_blocks * 512, 256 << 10);
  EXPECT_LE(result.data_bytes(), 128 << 10);
}

// Seen red: with IsZeroPiece() always false all 32 MiB were allocated.
TEST_F(CopyTest, RunsOfZerosBecomeHoles) {
  std::string content(32 << 20, '\0');
  content[0] = 'x';
  content[(10 << 20) + 70'000] = 'x';
  content.back() = 'x';
  const std::string source = MakeSource(content);
  ASSERT_GE(StatOf(source).st_blocks * 512, 32 << 20);  // the source has no hole
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyOf(source));
  ExpectSame(source, result);
  EXPECT_EQ(result.data_bytes(), 3 * (64 << 10));
  EXPECT_LE(StatOf(Incoming("disk-vda.raw")).st_blocks * 512, 4 * (64 << 10));
}

// Seen red: without O_DIRECT, where all 32 MiB stayed.
TEST_F(CopyTest, NothingThatIsReadStaysInThePageCache) {
  constexpr size_t kBytes = 32 << 20;
  const std::string source = MakeSource(RandomBytes(kBytes, 1));
  const int fd = open(source.c_str(), O_RDWR | O_CLOEXEC);
  struct statfs below{};
  ASSERT_EQ(fstatfs(fd, &below), 0);
  if (below.f_type == TMPFS_MAGIC) GTEST_SKIP() << "a tmpfs has nothing below its cache";
  ASSERT_EQ(fsync(fd), 0);
  ASSERT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  ASSERT_THAT(CopyOf(source), IsOk());
  void* map = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(map, MAP_FAILED);
  std::vector<unsigned char> pages(kBytes / 4096);
  ASSERT_EQ(mincore(map, kBytes, pages.data()), 0);
  EXPECT_EQ(std::count_if(pages.begin(), pages.end(), [](int page) { return (page & 1) != 0; }), 0);
  munmap(map, kBytes);
  close(fd);
}

// Offsets, lengths and memory that a direct read would refuse.
TEST_F(CopyTest, ASourceIsReadIntoAnyMemory) {
  const std::string content = RandomBytes(100'001, 1);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CopySource> source,
                              HostSource::Open(MakeSource(content)));
  alignas(4096) static std::array<std::byte, 200'000> memory;
  for (const size_t shift : {0, 1, 512, 4096}) {
    for (const int64_t offset : {0, 1, 4096, 5000, 98'304}) {
      const auto into =
          std::span(memory).subspan(shift, content.size() - static_cast<size_t>(offset));
      const Piece piece{offset, into};
      ASSERT_THAT(source->Read(std::span(&piece, 1)), IsOk());
      const absl::string_view read(reinterpret_cast<const char*>(into.data()), into.size());
      EXPECT_TRUE(read == absl::string_view(content).substr(static_cast<size_t>(offset)))
          << shift << " " << offset;
    }
  }
}

TEST_F(CopyTest, ProgressEndsAtTheTotalWithHolesApart) {
  const std::string source = MakeSource(RandomBytes(5'000'000, 1));
  ASSERT_EQ(truncate(source.c_str(), 100'000'000), 0);
  int64_t before = 0;
  v1::Progress last;
  ASSERT_THAT(CopyOf(source,
                     [&](JobContext*, const v1::Progress& progress) {
                       EXPECT_EQ(progress.bytes_total(), 100'000'000);
                       // Lines of several threads may pass each other; the last one is the largest.
                       before = std::max(before, progress.bytes_done());
                       if (progress.bytes_done() == before) last = progress;
                     }),
              IsOk());
  EXPECT_EQ(last.bytes_done(), 100'000'000);
  EXPECT_GE(last.bytes_holes(), 94'000'000);
}

TEST_F(CopyTest, ACopyIsReplacedByTheNext) {
  ASSERT_THAT(CopyOf(MakeSource(RandomBytes(9'000'000, 1))), IsOk());
  const std::string source = MakeSource(RandomBytes(1'000, 2));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyOf(source));
  ExpectSame(source, result);
}

// Seen red: without the second CheckCancelled() the copy ran to its end.
TEST_F(CopyTest, CancelInTheMiddleStopsAndLeavesNothing) {
  const std::string source = MakeSource(RandomBytes(64 << 20, 1));
  std::atomic<int64_t> done = 0;
  EXPECT_THAT(CopyOf(source,
                     [&](JobContext* context, const v1::Progress& progress) {
                       done = progress.bytes_done();
                       if (progress.bytes_done() >= 8 << 20) context->Cancel();
                     }),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
  // What the four threads had in their hands: no more than the MiB they were writing.
  EXPECT_LE(done, (8 << 20) + 5 * (1 << 20));
  ExpectNothingLeft();
}

TEST_F(CopyTest, AFullDiskIsSaidToBeFull) {
  const test::ScopedMount tmpfs("none", root_.path(), "tmpfs", 0, "size=8m");
  if (!tmpfs.mounted()) GTEST_SKIP() << "mount needs root";
  SetUp();  // the marker again, on the small one
  EXPECT_THAT(CopyOf(MakeSource(RandomBytes(32 << 20, 1))),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted), HasReason("REPOSITORY_FULL")));
  ExpectNothingLeft();
  EXPECT_THAT(CopyOf(MakeSource(RandomBytes(1 << 20, 1))), IsOk());  // the room came back
}

TEST_F(CopyTest, AReadErrorIsSaidWithItsOffset) {
  const std::string source = MakeSource(RandomBytes(9 << 20, 1));
  EXPECT_EXIT(
      {
        FailReadsFrom(1 << 20, EIO);
        const absl::Status status = CopyOf(source).status();
        const bool said = status.code() == absl::StatusCode::kDataLoss &&
                          ErrorReason(status) == "SOURCE_READ_ERROR" &&
                          ErrorDetails(status).contains("offset");
        std::exit(said ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  ExpectNothingLeft();
}

// Quota and full disks of NFS come at the flush. Seen red: with the result of Finish() dropped.
TEST_F(CopyTest, AFailedFlushLosesTheCopy) {
  const std::string source = MakeSource(RandomBytes(1 << 20, 1));
  std::filesystem::create_directories(Incoming());
  EXPECT_EXIT(
      {
        test::TrapSyscall(SYS_fsync, EDQUOT);
        const absl::Status status = CopyOf(source).status();
        std::exit(ErrorReason(status) == "REPOSITORY_FULL" && test::TrappedCalls() == 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  ExpectNothingLeft();
}

TEST_F(CopyTest, AnErrorOfTheWriteBackIsAnErrorOfTheCopy) {
  const std::string source = MakeSource(RandomBytes(9 << 20, 1));
  EXPECT_EXIT(
      {
        test::TrapSyscall(SYS_sync_file_range, EIO);
        std::exit(ErrorReason(CopyOf(source).status()) == "REPOSITORY_IO_ERROR" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  ExpectNothingLeft();
}

// Seen red: without CheckUnchanged().
TEST_F(CopyTest, ASourceThatChangesIsNoCopy) {
  const auto change_by = [&](const std::function<void(const std::string&)>& change) {
    const std::string source = MakeSource(RandomBytes(20 << 20, 1));
    std::atomic<bool> changed = false;
    return CopyOf(source, [&](JobContext*, const v1::Progress& progress) {
      if (progress.bytes_done() > 0 && !changed.exchange(true)) change(source);
    });
  };
  const auto is_changed = AllOf(StatusIs(absl::StatusCode::kAborted), HasReason("SOURCE_CHANGED"));
  EXPECT_THAT(change_by([](const std::string& path) {
                const int fd = open(path.c_str(), O_WRONLY);
                EXPECT_EQ(pwrite(fd, "x", 1, 3), 1);
                close(fd);
              }),
              is_changed);
  EXPECT_THAT(
      change_by([](const std::string& path) { EXPECT_EQ(truncate(path.c_str(), 21 << 20), 0); }),
      is_changed);
  EXPECT_THAT(
      change_by([](const std::string& path) { EXPECT_EQ(truncate(path.c_str(), 1000), 0); }),
      is_changed);
  EXPECT_THAT(change_by([](const std::string& path) { std::filesystem::remove(path); }),
              is_changed);
  EXPECT_THAT(change_by([](const std::string& path) {
                std::filesystem::copy_file(path, path + "2");
                std::filesystem::rename(path + "2", path);
              }),
              is_changed);
  ExpectNothingLeft();
}

// QEMU's own lock of a writer: shared, on byte 101. Seen red: with byte 201.
TEST_F(CopyTest, ASourceThatQemuWritesToIsBusy) {
  const std::string source = MakeSource("image");
  const int qemu = open(source.c_str(), O_RDWR);
  struct flock lock{};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 100;  // a reader: BLK_PERM_CONSISTENT_READ
  lock.l_len = 1;
  ASSERT_EQ(fcntl(qemu, F_OFD_SETLK, &lock), 0);
  EXPECT_THAT(CopyOf(source), IsOk());
  lock.l_start = 101;
  ASSERT_EQ(fcntl(qemu, F_OFD_SETLK, &lock), 0);
  EXPECT_THAT(CopyOf(source),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("SOURCE_BUSY")));
  close(qemu);
  EXPECT_THAT(CopyOf(source), IsOk());
}

TEST_F(CopyTest, AQemuThatStartsToWriteMeanwhileIsSeen) {
  const std::string source = MakeSource(RandomBytes(9 << 20, 1));
  const int qemu = open(source.c_str(), O_RDWR);
  EXPECT_THAT(CopyOf(source,
                     [&](JobContext*, const v1::Progress&) {
                       struct flock lock{};
                       lock.l_type = F_RDLCK;
                       lock.l_whence = SEEK_SET;
                       lock.l_start = 101;
                       lock.l_len = 1;
                       EXPECT_EQ(fcntl(qemu, F_OFD_SETLK, &lock), 0);
                     }),
              HasReason("SOURCE_BUSY"));
  close(qemu);
}

// A device has no holes to ask for, and no size in its inode. Seen red: with st_size.
TEST_F(CopyTest, ABlockDeviceIsCopiedWithoutItsZeros) {
  std::string content(40 << 20, '\0');
  content.replace(5 << 20, 3 << 20, RandomBytes(3 << 20, 5));
  content.replace((40 << 20) - 512, 512, RandomBytes(512, 6));
  const std::string file = MakeSource(content);
  const test::LoopDevice device(file);
  ASSERT_NE(device.path(), "") << "needs root and a loop device";
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyOf(device.path()));
  ExpectSame(file, result);
  EXPECT_LE(result.data_bytes(), (3 << 20) + 3 * (64 << 10));
  EXPECT_LE(StatOf(Incoming("disk-vda.raw")).st_blocks * 512, (3 << 20) + (256 << 10));
}

// Its node may be made anew, as udev does; another device under its name is a change.
TEST_F(CopyTest, ADeviceIsWhatItIsNotTheNodeThatNamesIt) {
  const std::string file = MakeSource(RandomBytes(20 << 20, 1));
  const test::LoopDevice device(file);
  ASSERT_NE(device.path(), "") << "needs root and a loop device";
  const dev_t number = StatOf(device.path()).st_rdev;
  const std::string node = host_.path("node");
  const auto copy_while = [&](const std::function<void()>& change) {
    std::filesystem::remove(node);
    EXPECT_EQ(mknod(node.c_str(), S_IFBLK | 0600, number), 0);
    std::atomic<bool> changed = false;
    return CopyOf(node, [&](JobContext*, const v1::Progress& progress) {
      if (progress.bytes_done() > 0 && !changed.exchange(true)) change();
    });
  };
  EXPECT_THAT(copy_while([&] {
                std::filesystem::remove(node);
                EXPECT_EQ(mknod(node.c_str(), S_IFBLK | 0600, number), 0);
              }),
              IsOk());
  EXPECT_THAT(copy_while([&] {
                std::filesystem::remove(node);
                EXPECT_EQ(mknod(node.c_str(), S_IFBLK | 0600, number + 1), 0);
              }),
              HasReason("SOURCE_CHANGED"));
}

TEST_F(CopyTest, OnlyFilesAndBlockDevicesAreSources) {
  ASSERT_EQ(mkfifo(host_.path("pipe").c_str(), 0600), 0);
  for (const std::string& path : {host_.path("absent"), host_.path("pipe"), host_.path(),
                                  std::string("/dev/zero"), std::string("image")}) {
    EXPECT_THAT(CopyOf(path), HasReason("SOURCE_UNUSABLE")) << path;
  }
}

TEST_F(CopyTest, NoNameOfARequestIsAPath) {
  const std::string source = MakeSource("image");
  for (const char* incoming : {"", "x", "../../x", "01890a5d-ac96-774b-bcce-b302099a8058.1/x"}) {
    v1::Request request = CopyRequest(source);
    request.mutable_copy()->set_incoming(incoming);
    EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT")) << incoming;
  }
  for (const char* file : {"", "a/b", "..", "manifest.json", ".hidden"}) {
    v1::Request request = CopyRequest(source);
    request.mutable_copy()->set_file(file);
    EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT")) << file;
  }
}

}  // namespace
}  // namespace vmkeep::worker
