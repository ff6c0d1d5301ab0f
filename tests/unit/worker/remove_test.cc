#include "executor/worker/remove.h"

#include "tests/unit/worker/worker_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace vmkeep::worker {
namespace {

using std::filesystem::create_directories;
using std::filesystem::exists;
using test::HasReason;
using test::IsOk;
using ::testing::IsEmpty;

constexpr char kOtherBackup[] = "01890a5d-ac96-774b-bcce-000000000000";

class RemoveTest : public WorkerTest {
 protected:
  v1::Request ScrubRequest(const std::string& vm = kVm, const std::string& backup = kBackup) const {
    v1::Request request;
    *request.mutable_scrub()->mutable_repository() = Repository();
    request.mutable_scrub()->set_vm_uuid(vm);
    request.mutable_scrub()->set_backup_id(backup);
    return request;
  }
  v1::Request DiscardRequest(const std::string& incoming = kIncoming) const {
    v1::Request request;
    *request.mutable_discard()->mutable_repository() = Repository();
    request.mutable_discard()->set_incoming(incoming);
    request.mutable_discard()->set_vm_uuid(kVm);
    request.mutable_discard()->set_backup_id(kBackup);
    return request;
  }
  std::string Left() const { return root_.path("vmkeep/.scrub/") + kVm + "." + kBackup; }
};

TEST_F(RemoveTest, ScrubRemovesExactlyOneBackup) {
  ASSERT_THAT(MakeBackup(), IsOk());
  const std::string other = root_.path("vmkeep/") + kVm + "/" + kOtherBackup;
  create_directories(other);
  ASSERT_TRUE(test::WriteFile(other + "/manifest.json", "x"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(ScrubRequest()));
  EXPECT_TRUE(result.remove().existed());
  EXPECT_FALSE(exists(Published()));
  EXPECT_TRUE(exists(other + "/manifest.json"));
  EXPECT_THAT(Tree(root_.path("vmkeep/.scrub")), IsEmpty());
}

TEST_F(RemoveTest, ScrubOfTheLastBackupLeavesNoFolderOfTheVm) {
  ASSERT_THAT(MakeBackup(), IsOk());
  ASSERT_THAT(Run(ScrubRequest()), IsOk());
  EXPECT_FALSE(exists(root_.path("vmkeep/") + kVm));
}

TEST_F(RemoveTest, ScrubAgainIsSuccessAndSaysSo) {
  ASSERT_THAT(MakeBackup(), IsOk());
  ASSERT_THAT(Run(ScrubRequest()), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result again, Run(ScrubRequest()));
  EXPECT_FALSE(again.remove().existed());
}

TEST_F(RemoveTest, ScrubOfAVmWithoutBackupsMakesNoFolder) {
  const std::vector<std::string> before = Tree(root_.path());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(ScrubRequest()));
  EXPECT_FALSE(result.remove().existed());
  EXPECT_EQ(Tree(root_.path()), before);
}

// The kernel's proof: design/reliability.md I9.
TEST_F(RemoveTest, ScrubNeverFollowsALinkInTheBackup) {
  ASSERT_THAT(MakeBackup(), IsOk());
  ASSERT_TRUE(test::WriteFile(host_.path("precious"), "x"));
  std::filesystem::create_directory_symlink(host_.path(), Published("link"));
  std::filesystem::create_symlink(host_.path("precious"), Published("file"));
  EXPECT_THAT(Run(ScrubRequest()), IsOk());
  EXPECT_FALSE(exists(Published()));
  EXPECT_TRUE(exists(host_.path("precious")));
}

TEST_F(RemoveTest, ABackupThatIsALinkIsRemovedAlone) {
  create_directories(root_.path("vmkeep/") + kVm);
  ASSERT_TRUE(test::WriteFile(host_.path("precious"), "x"));
  std::filesystem::create_directory_symlink(host_.path(), Published());
  EXPECT_THAT(Run(ScrubRequest()), IsOk());
  EXPECT_FALSE(exists(std::filesystem::symlink_status(Published())));
  EXPECT_TRUE(exists(host_.path("precious")));
}

TEST_F(RemoveTest, AVmFolderThatIsALinkIsRefused) {
  create_directories(host_.path(kBackup));
  ASSERT_TRUE(test::WriteFile(host_.path(kBackup) + "/precious", "x"));
  std::filesystem::create_directory_symlink(host_.path(), root_.path("vmkeep/") + kVm);
  EXPECT_THAT(Run(ScrubRequest()), HasReason("REPOSITORY_TAMPERED"));
  EXPECT_TRUE(exists(host_.path(kBackup) + "/precious"));
}

TEST_F(RemoveTest, WhatAKilledScrubLeftIsRemovedByTheNext) {
  create_directories(Left());
  ASSERT_TRUE(test::WriteFile(Left() + "/disk-vda.raw", "x"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(ScrubRequest()));
  EXPECT_TRUE(result.remove().existed());
  EXPECT_FALSE(exists(Left()));
}

TEST_F(RemoveTest, ScrubTakesUuidsOnly) {
  for (const char* id :
       {"", "..", ".incoming", ".scrub", "*", "01890a5d-ac96-774b-bcce-b302099a8057/.."}) {
    EXPECT_THAT(Run(ScrubRequest(id, kBackup)), HasReason("INVALID_ARGUMENT")) << id;
    EXPECT_THAT(Run(ScrubRequest(kVm, id)), HasReason("INVALID_ARGUMENT")) << id;
  }
}

TEST_F(RemoveTest, ACancelledScrubRemovesNothing) {
  ASSERT_THAT(MakeBackup(), IsOk());
  JobContext context(&RealClock(), [](const v1::Progress&) {});
  context.Cancel();
  EXPECT_THAT(RunJob(ScrubRequest(), &context), HasReason("CANCELLED"));
  EXPECT_TRUE(exists(Published("manifest.json")));
}

TEST_F(RemoveTest, DiscardRemovesThatIncomingFolderOnly) {
  ASSERT_THAT(MakeBackup(), IsOk());
  const std::string second = std::string(kTask) + ".2";
  const std::string third = root_.path("vmkeep/.incoming/") + kTask + ".3";
  create_directories(root_.path("vmkeep/.incoming/") + second);
  create_directories(third);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(DiscardRequest(second)));
  EXPECT_TRUE(result.remove().existed());
  EXPECT_FALSE(exists(root_.path("vmkeep/.incoming/") + second));
  EXPECT_TRUE(exists(third));
  EXPECT_TRUE(exists(Published("manifest.json"))) << "another try's";
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result again, Run(DiscardRequest(second)));
  EXPECT_FALSE(again.remove().existed());
}

// It was published, and told as failed: the answer of the rename was lost, or nobody was there to
// hear it.
TEST_F(RemoveTest, DiscardTakesBackWhatThatVeryTryPublished) {
  ASSERT_THAT(MakeBackup(), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(DiscardRequest()));
  EXPECT_TRUE(result.remove().existed());
  EXPECT_FALSE(exists(Published()));
  EXPECT_THAT(Tree(root_.path("vmkeep/.scrub")), IsEmpty());
}

TEST_F(RemoveTest, DiscardLeavesWhatItCannotTell) {
  ASSERT_THAT(MakeBackup(), IsOk());
  std::filesystem::permissions(Published(), std::filesystem::perms::owner_all);
  std::filesystem::remove(Published("manifest.json"));
  ASSERT_TRUE(test::WriteFile(Published("manifest.json"), "no manifest"));
  ASSERT_THAT(Run(DiscardRequest()), IsOk());
  EXPECT_TRUE(exists(Published("manifest.json")));
}

TEST_F(RemoveTest, DiscardTakesATaskAndAnEpochOnly) {
  for (const char* name : {"", ".", "..", "../11111111-2222-4333-8444-555555555555"}) {
    EXPECT_THAT(Run(DiscardRequest(name)), HasReason("INVALID_ARGUMENT")) << name;
  }
}

}  // namespace
}  // namespace vmkeep::worker
