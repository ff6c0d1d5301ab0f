#include "executor/flat_view/leftovers.h"

#include "executor/flat_view/flat_view.h"
#include "tests/support/qemu_images.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <memory>
#include <string>

namespace vmkeep::executor {
namespace {

using ::vmkeep::test::IsOk;

Disk ChainIn(const test::TempDir& folder) {
  test::RunQemu({"qemu-img", "create", "-q", "-f", "qcow2", folder.path("base"), "8M"});
  test::CreateOn(folder.path("base"), "qcow2", folder.path("top"));
  Disk disk;
  disk.target = "vda";
  disk.source = folder.path("top");
  disk.format = "qcow2";
  disk.backing = {{folder.path("base"), "qcow2", ""}};
  return disk;
}

// Ours are killed, those of another executor on this host are not. Seen red: without the "/" after
// the folder.
TEST(LeftoversTest, ServersOfAnEarlierLifeAreEndedAndNoOthers) {
  const test::TempDir folder;
  const Disk disk = ChainIn(folder);
  const auto open = [&](const std::string& name) {
    return FlatView::Open(disk, folder.path(name), RealClock(), absl::Seconds(20), {});
  };
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FlatView> ours, open("flat"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FlatView> stopped, open("flat"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FlatView> other, open("flat2"));
  ASSERT_EQ(kill(stopped->id().pid, SIGSTOP), 0);
  EndLeftoverViews(folder.path("flat"));
  EXPECT_FALSE(process::IsRunning(ours->id()));
  EXPECT_FALSE(process::IsRunning(stopped->id()));
  EXPECT_TRUE(process::IsRunning(other->id()));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path("flat")));
  EXPECT_TRUE(std::filesystem::exists(other->socket()));
  EndLeftoverViews(folder.path("flat"));
  EndLeftoverViews(folder.path("never-was"));
  EndLeftoverViews("");
  EXPECT_TRUE(process::IsRunning(other->id()));
}

}  // namespace
}  // namespace vmkeep::executor
