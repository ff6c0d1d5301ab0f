// Disks that lie in several files, served by the real qemu-nbd and compared with what qemu-img
// makes of them.
#include "common/digest/digest.h"
#include "executor/flat_view/flat_view.h"
#include "executor/worker/copy.h"
#include "tests/support/page_cache.h"
#include "tests/support/qemu_images.h"
#include "tests/support/scoped_mount.h"
#include "tests/unit/worker/worker_fixture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::worker {
namespace {

using executor::Disk;
using executor::FlatView;
using executor::ImageLayer;
using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::IsEmpty;

constexpr int64_t kMiB = int64_t{1} << 20;

class FlatCopyTest : public WorkerTest {
 protected:
  using Watch = std::function<void(JobContext*, const v1::Progress&)>;

  void SetUp() override {
    WorkerTest::SetUp();
    pattern_ = host_.path("pattern");
    ASSERT_TRUE(test::WriteFile(pattern_, RandomBytes(kMiB + 4096, 7)));
  }

  std::string MakeRaw(const std::string& name, int64_t bytes) {
    const std::string path = host_.path(name);
    EXPECT_TRUE(test::WriteFile(path, ""));
    EXPECT_EQ(truncate(path.c_str(), bytes), 0);
    return path;
  }

  // base.raw <- mid.qcow2 <- top.qcow2, each with data of its own and over what is below.
  Disk MakeChain(int64_t bytes = 100 * kMiB) {
    const std::string base = MakeRaw("base.raw", bytes);
    test::WritePattern(base, "raw", pattern_, kMiB, 3 * kMiB);
    test::WritePattern(base, "raw", pattern_, 40 * kMiB, 2 * kMiB + 512);
    test::CreateOn(base, "raw", host_.path("mid.qcow2"));
    test::WritePattern(host_.path("mid.qcow2"), "qcow2", pattern_, 2 * kMiB + 512, 70'144);
    test::QemuIo(host_.path("mid.qcow2"), "qcow2", "write -z 40M 1M");  // hides data of the base
    test::CreateOn(host_.path("mid.qcow2"), "qcow2", host_.path("top.qcow2"));
    test::WritePattern(host_.path("top.qcow2"), "qcow2", pattern_, 3 * kMiB + 65'536, 512);
    test::WritePattern(host_.path("top.qcow2"), "qcow2", pattern_, bytes - 4096, 4096);
    return ChainOf("top.qcow2", {{host_.path("mid.qcow2"), "qcow2", ""}, {base, "raw", ""}});
  }

  Disk ChainOf(const std::string& top, std::vector<ImageLayer> backing) const {
    Disk disk;
    disk.target = "vda";
    disk.source = host_.path(top);
    disk.format = "qcow2";
    disk.backing = std::move(backing);
    return disk;
  }

  std::unique_ptr<FlatView> Serve(const Disk& disk) {
    absl::StatusOr<std::unique_ptr<FlatView>> view =
        FlatView::Open(disk, host_.path("sockets"), RealClock(), absl::Seconds(20), {});
    EXPECT_THAT(view, IsOk());
    return view.ok() ? *std::move(view) : nullptr;
  }

  v1::Request FlatRequest(const Disk& disk, const FlatView& view) const {
    v1::Request request = CopyRequest(disk.source);
    v1::FlatView& flat = *request.mutable_copy()->mutable_flat();
    flat.set_socket(view.socket());
    flat.set_export_name(view.export_name());
    for (const std::string& file : view.files()) flat.add_files(file);
    return request;
  }

  absl::StatusOr<v1::CopyResult> CopyWatched(const v1::Request& request, const Watch& watch = {}) {
    RestlessClock clock;
    JobContext* context_of_sink = nullptr;
    JobContext context(&clock, [&](const v1::Progress& progress) {
      if (watch) watch(context_of_sink, progress);
    });
    context_of_sink = &context;
    const absl::StatusOr<v1::Result> result = RunJob(request, &context);
    if (!result.ok()) return result.status();
    return result->copy();
  }

  absl::StatusOr<v1::CopyResult> CopyFlat(const Disk& disk) {
    const std::unique_ptr<FlatView> view = Serve(disk);
    if (view == nullptr) return absl::InternalError("no view");
    return CopyWatched(FlatRequest(disk, *view));
  }

  // The copy is what qemu-img makes of the same disk, and its list is of these bytes.
  void ExpectFlattened(const Disk& disk, const v1::CopyResult& result) {
    test::Flatten(disk.source, host_.path("flat.raw"));
    const std::string wanted = test::ReadFile(host_.path("flat.raw"));
    const std::string image = test::ReadFile(Incoming("disk-vda.raw"));
    EXPECT_TRUE(image == wanted) << "the bytes differ";
    EXPECT_EQ(result.file_bytes(), static_cast<int64_t>(wanted.size()));
    std::string list;
    for (size_t at = 0; at < wanted.size(); at += digest::kChunkBytes) {
      list += digest::ToHex(digest::Hash(wanted.substr(at, digest::kChunkBytes))) + "\n";
    }
    EXPECT_EQ(test::ReadFile(Incoming("disk-vda.raw.sha256")), list);
    EXPECT_EQ(result.digest().root(), digest::ToHex(digest::Hash(list)));
  }

  void ExpectNothingLeft() { EXPECT_THAT(Tree(Incoming()), IsEmpty()); }

  // QEMU's own lock of a writer.
  static void LockAsWriter(int fd) {
    struct flock lock{};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 101;
    lock.l_len = 1;
    EXPECT_EQ(fcntl(fd, F_OFD_SETLK, &lock), 0);
  }

  std::string pattern_;
};

// Seen red: with zeros and data of the map taken for each other.
TEST_F(FlatCopyTest, ThreeLevelsAreOneSparseImageAndTheBaseIsUntouched) {
  const Disk disk = MakeChain();
  const std::string base = test::ReadFile(host_.path("base.raw"));
  const struct stat before = StatOf(host_.path("base.raw"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
  ExpectFlattened(disk, result);
  EXPECT_EQ(result.file_bytes(), 100 * kMiB);
  // 3 MiB + 1 MiB of the base, and a little: zeros that the middle wrote over it are not stored.
  EXPECT_LE(result.data_bytes(), 4 * kMiB + 4 * (64 << 10));
  EXPECT_LE(StatOf(Incoming("disk-vda.raw")).st_blocks * 512, 5 * kMiB);
  EXPECT_TRUE(test::ReadFile(host_.path("base.raw")) == base);
  const struct stat after = StatOf(host_.path("base.raw"));
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_blocks, before.st_blocks);
}

// Small and large writes all over three layers: extents of any length, on both sides of chunks.
TEST_F(FlatCopyTest, AnyLayoutOfThreeLayers) {
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::string base = MakeRaw("base.raw", 40 * kMiB);
    const auto scatter = [&](const std::string& path, const std::string& format) {
      for (int i = 0; i < 6; ++i) {
        const int64_t offset = static_cast<int64_t>(random() % 70'000) * 512;
        const int64_t bytes = static_cast<int64_t>(1 + random() % 4000) * 512;
        if (random() % 4 == 0) {
          test::QemuIo(path, format, absl::StrCat("write -z ", offset, " ", bytes));
        } else {
          test::WritePattern(path, format, pattern_, offset, bytes);
        }
      }
    };
    scatter(base, "raw");
    test::CreateOn(base, "raw", host_.path("mid.qcow2"));
    scatter(host_.path("mid.qcow2"), "qcow2");
    test::CreateOn(host_.path("mid.qcow2"), "qcow2", host_.path("top.qcow2"));
    scatter(host_.path("top.qcow2"), "qcow2");
    const Disk disk =
        ChainOf("top.qcow2", {{host_.path("mid.qcow2"), "qcow2", ""}, {base, "raw", ""}});
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
    ExpectFlattened(disk, result);
  }
}

TEST_F(FlatCopyTest, ADataFileIsPartOfItsDisk) {
  Disk disk = ChainOf("top.qcow2", {});
  disk.data_file = host_.path("data,file.raw");
  test::CreateWithDataFile(disk.source, disk.data_file, "30M");
  test::WritePattern(disk.source, "qcow2", pattern_, 5 * kMiB, 2 * kMiB);
  ASSERT_TRUE(disk.flat());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
  ExpectFlattened(disk, result);
  EXPECT_LE(result.data_bytes(), 2 * kMiB + (64 << 10));
}

TEST_F(FlatCopyTest, ADataFileInTheMiddleOfAChain) {
  const std::string base = host_.path("base.qcow2");
  test::CreateWithDataFile(base, host_.path("base.data"), "30M");
  test::WritePattern(base, "qcow2", pattern_, 5 * kMiB, 2 * kMiB);
  test::CreateOn(base, "qcow2", host_.path("top.qcow2"));
  test::WritePattern(host_.path("top.qcow2"), "qcow2", pattern_, 6 * kMiB + 512, 4096);
  const Disk disk = ChainOf("top.qcow2", {{base, "qcow2", host_.path("base.data")}});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
  ExpectFlattened(disk, result);
}

// A guest may write any header into its raw disk, here one that names a file of the host; and the
// header above may say any format. Seen red: with the base's "driver" left out.
TEST_F(FlatCopyTest, NothingIsTakenFromAHeader) {
  const std::string secret = MakeRaw("secret", 2 * kMiB);
  test::WritePattern(secret, "raw", pattern_, 0, 2 * kMiB);
  test::CreateOn(secret, "raw", host_.path("guest-wrote-this"));
  std::string disk_of_guest = test::ReadFile(host_.path("guest-wrote-this"));
  disk_of_guest.resize(static_cast<size_t>(4 * kMiB));
  const std::string base = host_.path("base.raw");
  ASSERT_TRUE(test::WriteFile(base, disk_of_guest));
  test::RunQemu({"qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base,
                 host_.path("top.qcow2"), "4M"});
  const Disk disk = ChainOf("top.qcow2", {{base, "raw", ""}});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
  EXPECT_EQ(result.file_bytes(), 4 * kMiB);
  EXPECT_TRUE(test::ReadFile(Incoming("disk-vda.raw")) == disk_of_guest);
}

TEST_F(FlatCopyTest, AnyNameMayStandInAChain) {
  const std::string folder = "a folder, with: 'quotes' \"and\" ü 🖴 %s ${x} \\ =\n{}";
  std::filesystem::create_directory(host_.path(folder));
  const std::string base = MakeRaw(folder + "/base, file.filename=x.raw", 10 * kMiB);
  test::WritePattern(base, "raw", pattern_, kMiB, kMiB);
  test::CreateOn(base, "raw", host_.path(folder + "/top\",\"ü.qcow2"));
  const Disk disk = ChainOf(folder + "/top\",\"ü.qcow2", {{base, "raw", ""}});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
  ExpectFlattened(disk, result);
}

TEST_F(FlatCopyTest, ABlockDeviceMayBeTheBase) {
  const std::string file = MakeRaw("device", 20 * kMiB);
  test::WritePattern(file, "raw", pattern_, 2 * kMiB, kMiB);
  const test::LoopDevice device(file);
  ASSERT_NE(device.path(), "") << "needs root and a loop device";
  test::CreateOn(device.path(), "raw", host_.path("top.qcow2"));
  test::WritePattern(host_.path("top.qcow2"), "qcow2", pattern_, 9 * kMiB, 4096);
  const Disk disk = ChainOf("top.qcow2", {{device.path(), "raw", ""}});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::CopyResult result, CopyFlat(disk));
  ExpectFlattened(disk, result);
  EXPECT_LE(result.data_bytes(), kMiB + 2 * (64 << 10)) << "a device says nothing of its zeros";
}

// A backup must not push out of the cache what the host's other VMs have in it. Seen red: without
// the destructor, and without Forget().
TEST_F(FlatCopyTest, TheFilesDoNotStayInThePageCache) {
  const Disk disk = MakeChain(200 * kMiB);
  test::WritePattern(disk.source, "qcow2", pattern_, 8 * kMiB, 150 * kMiB);
  sync();
  if (!test::DropFromCache(disk.source)) GTEST_SKIP() << "this file system is the cache (tmpfs)";
  const std::unique_ptr<FlatView> view = Serve(disk);
  ASSERT_NE(view, nullptr);
  int64_t most = 0;
  EXPECT_THAT(CopyWatched(FlatRequest(disk, *view),
                          [&](JobContext*, const v1::Progress&) {
                            most = std::max(most, test::CachedBytes(disk.source));
                          }),
              IsOk());
  EXPECT_GT(most, 4 * kMiB) << "the test sees nothing";
  EXPECT_LT(most, 100 * kMiB);
  EXPECT_LE(test::CachedBytes(disk.source), kMiB);
}

TEST_F(FlatCopyTest, AServerThatIsKilledIsSaidToBeGone) {
  const Disk disk = MakeChain();
  test::WritePattern(disk.source, "qcow2", pattern_, 8 * kMiB, 80 * kMiB);
  const std::unique_ptr<FlatView> view = Serve(disk);
  ASSERT_NE(view, nullptr);
  const absl::StatusOr<v1::CopyResult> result =
      CopyWatched(FlatRequest(disk, *view), [&](JobContext*, const v1::Progress& progress) {
        if (progress.bytes_done() >= 16 * kMiB) kill(view->id().pid, SIGKILL);
      });
  EXPECT_THAT(result,
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("SOURCE_VIEW_LOST")));
  EXPECT_THAT(view->Check(), HasReason("FLAT_VIEW_ENDED"));
  ExpectNothingLeft();
  // Nothing there from the start is the same.
  EXPECT_THAT(CopyWatched(FlatRequest(disk, *view)), HasReason("SOURCE_VIEW_LOST"));
}

// A damaged layer stands for a damaged disk: both are EIO. Seen red: with every error taken for a
// lost server.
TEST_F(FlatCopyTest, AReadErrorBelowIsSaidWithItsOffset) {
  const Disk disk = MakeChain();
  std::fstream mid(host_.path("mid.qcow2"), std::ios::in | std::ios::out | std::ios::binary);
  std::string l1_offset(8, '\0');
  mid.seekg(40);  // QEMU's docs/interop/qcow2.txt
  mid.read(l1_offset.data(), 8);
  int64_t l1 = 0;
  for (const char byte : l1_offset) l1 = l1 << 8 | static_cast<unsigned char>(byte);
  mid.seekp(l1);
  mid.write("\x80\0\0\0\0\0\x02\0", 8);  // a table that is at no cluster's begin
  mid.close();
  const std::unique_ptr<FlatView> view = Serve(disk);
  ASSERT_NE(view, nullptr);
  const absl::StatusOr<v1::CopyResult> result = CopyWatched(FlatRequest(disk, *view));
  EXPECT_THAT(result, AllOf(StatusIs(absl::StatusCode::kDataLoss), HasReason("SOURCE_READ_ERROR")));
  EXPECT_THAT(view->Check(), IsOk());
  ExpectNothingLeft();
}

TEST_F(FlatCopyTest, CancelInTheMiddleStopsAndLeavesNothing) {
  const Disk disk = MakeChain();
  test::WritePattern(disk.source, "qcow2", pattern_, 8 * kMiB, 80 * kMiB);
  const std::unique_ptr<FlatView> view = Serve(disk);
  ASSERT_NE(view, nullptr);
  std::atomic<int64_t> done = 0;
  EXPECT_THAT(CopyWatched(FlatRequest(disk, *view),
                          [&](JobContext* context, const v1::Progress& progress) {
                            done = progress.bytes_done();
                            if (done >= 16 * kMiB) context->Cancel();
                          }),
              HasReason("CANCELLED"));
  EXPECT_LE(done, 20 * kMiB);
  ExpectNothingLeft();
}

// Not the lock of qemu-nbd: for a raw base it takes none that keeps a writer out. Seen red: with
// only the source checked.
TEST_F(FlatCopyTest, AWriterOnAnyLayerIsSeenBeforeAndAfter) {
  const Disk disk = MakeChain();
  for (const char* name : {"base.raw", "mid.qcow2", "top.qcow2"}) {
    SCOPED_TRACE(name);
    const std::unique_ptr<FlatView> view = Serve(disk);
    ASSERT_NE(view, nullptr);
    const v1::Request request = FlatRequest(disk, *view);
    const int before = open(host_.path(name).c_str(), O_RDWR | O_CLOEXEC);
    LockAsWriter(before);
    EXPECT_THAT(CopyWatched(request), HasReason("SOURCE_BUSY"));
    close(before);
    const int meanwhile = open(host_.path(name).c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_THAT(CopyWatched(request,
                            [&](JobContext*, const v1::Progress& progress) {
                              if (progress.bytes_done() > 0) LockAsWriter(meanwhile);
                            }),
                HasReason("SOURCE_BUSY"));
    close(meanwhile);
    EXPECT_THAT(CopyWatched(request), IsOk());
  }
}

TEST_F(FlatCopyTest, ALayerThatChangesIsNoCopy) {
  const Disk disk = MakeChain();
  const std::unique_ptr<FlatView> view = Serve(disk);
  ASSERT_NE(view, nullptr);
  std::atomic<bool> changed = false;
  EXPECT_THAT(CopyWatched(FlatRequest(disk, *view),
                          [&](JobContext*, const v1::Progress& progress) {
                            if (progress.bytes_done() == 0 || changed.exchange(true)) return;
                            const int fd = open(host_.path("base.raw").c_str(), O_WRONLY);
                            EXPECT_EQ(pwrite(fd, "x", 1, 90 * kMiB), 1);
                            close(fd);
                          }),
              HasReason("SOURCE_CHANGED"));
  ExpectNothingLeft();
}

TEST_F(FlatCopyTest, ARequestThatDoesNotSayWhatItReadsIsRefused) {
  const Disk disk = MakeChain();
  const std::unique_ptr<FlatView> view = Serve(disk);
  ASSERT_NE(view, nullptr);
  v1::Request request = FlatRequest(disk, *view);
  request.mutable_copy()->mutable_flat()->clear_files();
  EXPECT_THAT(CopyWatched(request), HasReason("SOURCE_UNUSABLE"));
  request = FlatRequest(disk, *view);
  request.mutable_copy()->set_format("qcow2");
  EXPECT_THAT(CopyWatched(request), HasReason("INVALID_ARGUMENT"));
  request = FlatRequest(disk, *view);
  request.mutable_copy()->mutable_flat()->set_export_name("another");
  EXPECT_THAT(CopyWatched(request), HasReason("SOURCE_VIEW_LOST"));
}

}  // namespace
}  // namespace vmkeep::worker
