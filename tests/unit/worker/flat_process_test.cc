// The worker's process on a chain: as the executor runs it.
#include "executor/flat_view/flat_view.h"
#include "executor/worker_client/worker_client.h"
#include "tests/support/qemu_images.h"
#include "tests/unit/worker/worker_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace vmkeep::worker {
namespace {

using executor::Disk;
using executor::FlatView;
using executor::ProcessWorker;
using test::HasReason;
using test::IsOk;
using ::testing::IsEmpty;

constexpr absl::Duration kLong = absl::Minutes(1);

class FlatProcessTest : public WorkerTest {
 protected:
  static constexpr int kPieces = 10;
  static int64_t PieceAt(int64_t bytes, int piece) {
    return bytes / kPieces * piece / (1 << 20) * (1 << 20);
  }

  // A chain whose base has `bytes`, with `data_mib` MiB of data all over it.
  void Serve(int64_t bytes, int data_mib) {
    const std::string base = host_.path("base.raw");
    const std::string piece = host_.path("piece");
    ASSERT_TRUE(test::WriteFile(piece, RandomBytes(1 << 20, 3)));
    ASSERT_TRUE(test::WriteFile(base, ""));
    ASSERT_EQ(truncate(base.c_str(), bytes), 0);
    disk_.target = "vda";
    disk_.source = host_.path("top.qcow2");
    disk_.format = "qcow2";
    disk_.backing = {{base, "raw", ""}};
    test::CreateOn(base, "raw", disk_.source);
    for (int i = 0; i < kPieces; ++i) {
      const int64_t at = PieceAt(bytes, i);
      test::WritePattern(i % 2 == 0 ? base : disk_.source, i % 2 == 0 ? "raw" : "qcow2", piece, at,
                         int64_t{data_mib} / kPieces << 20);
    }
    auto view = FlatView::Open(disk_, host_.path("sockets"), RealClock(), kLong, {});
    ASSERT_THAT(view, IsOk());
    view_ = *std::move(view);
  }

  absl::StatusOr<v1::Result> Copy(const ProcessWorker::Hooks& hooks,
                                  const std::stop_token& stop = {},
                                  absl::Duration stall = absl::InfiniteDuration()) {
    v1::Request request = CopyRequest(disk_.source);
    if (stall < absl::InfiniteDuration())
      request.mutable_copy()->set_stall_seconds(absl::ToInt64Seconds(stall));
    v1::FlatView& flat = *request.mutable_copy()->mutable_flat();
    flat.set_socket(view_->socket());
    flat.set_export_name(view_->export_name());
    for (const std::string& file : view_->files()) flat.add_files(file);
    return ProcessWorker(VMKEEP_WORKER).Run(request, kLong, stall, stop, hooks);
  }

  // The most memory that the process has had so far; 0 when it is gone.
  static int64_t PeakKib(pid_t pid) {
    const std::string status = test::ReadFile("/proc/" + std::to_string(pid) + "/status");
    const size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::atoll(status.c_str() + at + 6);
  }

  Disk disk_;
  std::unique_ptr<FlatView> view_;
};

// The map of a disk is asked for in parts, and its memory does not grow with it. Seen red: with
// each part taken for the disk's first.
TEST_F(FlatProcessTest, ATerabyteIsAMatterOfItsData) {
  constexpr int64_t kSize = int64_t{1} << 40;
  Serve(kSize, 200);
  pid_t pid = 0;
  int64_t peak_kib = 0;
  const absl::Time start = absl::Now();
  const absl::StatusOr<v1::Result> result = Copy(
      {.on_progress = [&](const v1::Progress&) { peak_kib = std::max(peak_kib, PeakKib(pid)); },
       .on_started = [&](pid_t started, uint64_t) { pid = started; }});
  ASSERT_THAT(result, IsOk());
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
  EXPECT_EQ(result->copy().file_bytes(), kSize);
  EXPECT_EQ(result->copy().data_bytes(), 200 << 20);
  EXPECT_LE(StatOf(Incoming("disk-vda.raw")).st_blocks * 512, 210 << 20);
  const std::string piece = test::ReadFile(host_.path("piece"));
  std::ifstream image(Incoming("disk-vda.raw"), std::ios::binary);
  for (int i = 0; i < kPieces; ++i) {
    std::string found(piece.size(), '\0');
    image.seekg(PieceAt(kSize, i));
    image.read(found.data(), static_cast<std::streamsize>(found.size()));
    EXPECT_TRUE(found == piece) << i;
  }
  EXPECT_GT(peak_kib, 0);
#ifndef VMKEEP_SANITIZED  // a sanitizer's shadow counts as memory
  EXPECT_LE(peak_kib, 128 << 10);
#endif
  RecordProperty("peak_kib", static_cast<int>(peak_kib));
}

TEST_F(FlatProcessTest, ACancelIsAnsweredWithinASecond) {
  Serve(int64_t{400} << 20, 300);
  std::stop_source stop;
  absl::Time asked = absl::InfiniteFuture();
  const absl::StatusOr<v1::Result> result = Copy({.on_progress =
                                                      [&](const v1::Progress&) {
                                                        if (!stop.stop_requested())
                                                          asked = absl::Now();
                                                        stop.request_stop();
                                                      },
                                                  .on_started = {}},
                                                 stop.get_token());
  EXPECT_LT(absl::Now() - asked, absl::Seconds(1));
  EXPECT_THAT(result, HasReason("CANCELLED"));
  EXPECT_THAT(Tree(Incoming()), IsEmpty());
}

// A server that answers no more, with its connections open.
TEST_F(FlatProcessTest, AServerThatHangsIsAStallAndACancelDoesNotWaitForIt) {
  Serve(int64_t{400} << 20, 300);
  const auto hang = [&](const v1::Progress& progress) {
    if (progress.bytes_done() > 0) kill(view_->id().pid, SIGSTOP);
  };
  EXPECT_THAT(Copy({.on_progress = hang, .on_started = {}}, {}, absl::Seconds(1)),
              HasReason("COPY_STALLED"));
  kill(view_->id().pid, SIGCONT);
  std::stop_source stop;
  absl::Time asked = absl::InfiniteFuture();
  const absl::StatusOr<v1::Result> result = Copy({.on_progress =
                                                      [&](const v1::Progress& progress) {
                                                        hang(progress);
                                                        if (progress.bytes_done() == 0) return;
                                                        asked = std::min(asked, absl::Now());
                                                        stop.request_stop();
                                                      },
                                                  .on_started = {}},
                                                 stop.get_token());
  EXPECT_LT(absl::Now() - asked, absl::Seconds(1));
  EXPECT_THAT(result, HasReason("CANCELLED"));
  EXPECT_TRUE(view_->Close()) << "it is killed all the same";
}

}  // namespace
}  // namespace vmkeep::worker
