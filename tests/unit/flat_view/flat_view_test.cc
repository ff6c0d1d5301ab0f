#include "executor/flat_view/flat_view.h"

#include "common/fs/fd.h"
#include "tests/support/qemu_images.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace vmkeep::executor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

constexpr absl::Duration kSoon = absl::Seconds(20);

class FlatViewTest : public testing::Test {
 protected:
  FlatViewTest() {
    test::RunQemu({"qemu-img", "create", "-q", "-f", "qcow2", folder_.path("base"), "8M"});
    test::CreateOn(folder_.path("base"), "qcow2", folder_.path("top"));
    disk_.target = "vda";
    disk_.source = folder_.path("top");
    disk_.format = "qcow2";
    disk_.backing = {{folder_.path("base"), "qcow2", ""}};
  }

  absl::StatusOr<std::unique_ptr<FlatView>> Open(const std::stop_token& stop = {}) {
    return FlatView::Open(disk_, folder_.path("flat"), RealClock(), kSoon, stop);
  }

  // Whether QEMU gets the lock that a merge into the image needs.
  static bool CanBeWritten(const std::string& path) {
    const auto done =
        process::RunToEnd({"qemu-io", "-f", "qcow2", "-c", "write 0 64k", path}, kSoon);
    return done.ok() && done->exit_status.ok();
  }

  test::TempDir folder_;
  Disk disk_;
};

TEST_F(FlatViewTest, ServesReadOnlyFromAFolderOfItsOwn) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FlatView> view, Open());
  struct stat found{};
  ASSERT_EQ(stat(folder_.path("flat").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  EXPECT_THAT(view->Check(), IsOk());
  EXPECT_EQ(view->files().size(), 2u);
  const auto info =
      process::RunToEnd({"qemu-img", "info", "nbd+unix:///vda?socket=" + view->socket()}, kSoon);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->out, HasSubstr("virtual size: 8 MiB"));
}

// Its lock keeps a merge out, and is free as soon as it is closed. Seen red: with SIGTERM instead,
// on a server that was stopped.
TEST_F(FlatViewTest, ClosedItIsGoneAndTheImageCanBeWritten) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(std::unique_ptr<FlatView> view, Open());
  const process::ProcessId id = view->id();
  EXPECT_FALSE(CanBeWritten(disk_.source)) << "without this lock the test would prove nothing";
  ASSERT_EQ(kill(id.pid, SIGSTOP), 0);
  EXPECT_TRUE(view->Close());
  EXPECT_FALSE(process::IsRunning(id));
  EXPECT_NE(kill(id.pid, 0), 0) << "reaped";
  EXPECT_FALSE(std::filesystem::exists(view->socket()));
  EXPECT_TRUE(CanBeWritten(disk_.source));
  EXPECT_TRUE(view->Close()) << "again";

  VMKEEP_ASSERT_OK_AND_ASSIGN(view, Open());
  const process::ProcessId second = view->id();
  view = nullptr;
  EXPECT_FALSE(process::IsRunning(second));
}

// Seen red: with a connection taken for an answer, which qemu-nbd lets in before it opens the
// image.
TEST_F(FlatViewTest, AnImageThatIsWrittenToIsNotServed) {
  // A writer that QEMU sees, as its own.
  const fs::Fd writer(open(disk_.source.c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 101;
  lock.l_len = 1;
  ASSERT_EQ(fcntl(writer.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_THAT(
      Open().status(),
      AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("FLAT_VIEW_NOT_STARTED"),
            ::testing::Property(&absl::Status::message, HasSubstr("lock"))));
}

TEST_F(FlatViewTest, AMissingLayerIsSaidInQemusWords) {
  std::filesystem::remove(folder_.path("base"));
  EXPECT_THAT(Open().status(),
              AllOf(HasReason("FLAT_VIEW_NOT_STARTED"),
                    ::testing::Property(&absl::Status::message,
                                        HasSubstr(folder_.path("base") + "': No such file"))));
}

TEST_F(FlatViewTest, AnEndByItselfIsToldWithItsCause) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FlatView> view, Open());
  ASSERT_TRUE(process::KillAndWait(view->id(), kSoon));
  EXPECT_THAT(view->Check(),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("FLAT_VIEW_ENDED"),
                    ::testing::Property(&absl::Status::message, HasSubstr("signal 9"))));
}

// As the kernel does for want of memory: no verdict on the images, so another try may do better.
TEST_F(FlatViewTest, AServerThatIsKilledInItsStartMayBeTriedAgain) {
  const std::string path = std::getenv("PATH");
  std::filesystem::create_directory(folder_.path("bin"));
  const std::string program = folder_.path("bin/qemu-nbd");
  ASSERT_TRUE(test::WriteFile(program, "#!/bin/sh\nkill -9 $$\n"));
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  setenv("PATH", absl::StrCat(folder_.path("bin"), ":", path).c_str(), 1);
  EXPECT_THAT(Open().status(),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("FLAT_VIEW_ENDED"),
                    ::testing::Property(&absl::Status::message, HasSubstr("signal 9"))));
  setenv("PATH", path.c_str(), 1);
}

TEST_F(FlatViewTest, AStopAndADeadlineEndTheStart) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(
      FlatView::Open(disk_, folder_.path("flat"), RealClock(), absl::ZeroDuration(), {}).status(),
      HasReason("FLAT_VIEW_NOT_STARTED"));
  EXPECT_THAT(Open(stop.get_token()).status(), HasReason("CANCELLED"));
  EXPECT_TRUE(CanBeWritten(disk_.source)) << "neither left a server behind";
}

TEST_F(FlatViewTest, WhatCannotBeServedIsKnownBefore) {
  EXPECT_THAT(CheckCanServe(disk_, folder_.path("flat")), IsOk());
  EXPECT_THAT(CheckCanServe(disk_, folder_.path(std::string(120, 'x'))),
              HasReason("FLAT_VIEW_FOLDER"));
  EXPECT_THAT(CheckCanServe(disk_, folder_.path("no/such")), HasReason("FLAT_VIEW_FOLDER"));
  Disk odd = disk_;
  odd.backing[0].format = "vmdk";
  EXPECT_THAT(CheckCanServe(odd, folder_.path("flat")), HasReason("FLAT_VIEW_IMPOSSIBLE"));
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder_.path().c_str(), 1);
  EXPECT_THAT(CheckCanServe(disk_, folder_.path("flat")), HasReason("PROGRAM_NOT_STARTED"));
  setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace vmkeep::executor
