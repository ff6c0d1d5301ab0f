// From a hypervisor's export to a published backup, and its removal.
#include "common/digest/digest.h"
#include "common/error.h"
#include "common/manifest/manifest.h"
#include "executor/worker/publish.h"
#include "executor/worker/remove.h"
#include "tests/unit/worker/export_fixture.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::worker {
namespace {

using std::filesystem::exists;
using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ExportPublishTest : public ExportTest {
 protected:
  v1::Request SealedRequest() {
    Export("it's; $(calc) é");
    const absl::StatusOr<v1::Result> sealed = Run(SealRequest());
    EXPECT_THAT(sealed, IsOk());
    return PublishExport(sealed->seal_export());
  }

  v1::Request ScrubRequest() const {
    v1::Request request;
    *request.mutable_scrub()->mutable_repository() = Repository();
    request.mutable_scrub()->set_vm_uuid(kVm);
    request.mutable_scrub()->set_backup_id(kBackup);
    return request;
  }
  v1::Request DiscardRequest() const {
    v1::Request request;
    v1::Discard* discard = request.mutable_discard();
    *discard->mutable_repository() = Repository();
    discard->set_incoming(kIncoming);
    discard->set_vm_uuid(kVm);
    discard->set_backup_id(kBackup);
    return request;
  }
};

TEST_F(ExportPublishTest, FromTheExportToTheManifestAndAway) {
  const v1::Request request = SealedRequest();
  Put(Incoming("disk-gone.vhdx.sha256"), "of an earlier run");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(request));
  EXPECT_FALSE(exists(Incoming()));
  const std::string text = test::ReadFile(Published("manifest.json"));
  EXPECT_EQ(result.publish().manifest_sha256(), digest::ToHex(digest::Hash(text)));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const manifest::v1::Manifest manifest, manifest::Parse(text));

  // All that is there is named, and what is named is there.
  std::set<std::string> named = {"manifest.json"};
  for (const manifest::v1::File& file : manifest.files()) {
    named.insert(file.file());
    EXPECT_EQ(file.bytes(), StatOf(Published(file.file())).st_size) << file.file();
    EXPECT_EQ(file.sha256(), Sha256(Published(file.file()))) << file.file();
  }
  for (const manifest::v1::Disk& disk : manifest.disks()) {
    named.insert(disk.file());
    EXPECT_TRUE(named.contains(disk.digest().list_file()));
    EXPECT_EQ(test::ReadFile(Published(disk.digest().list_file())),
              ListBySplit(Published(disk.file())));
  }
  int64_t blocks = 0;
  std::set<std::string> found;
  for (const std::string& name : Tree(Published())) {
    if (!std::filesystem::is_regular_file(Published(name))) continue;
    found.insert(name);
    blocks += StatOf(Published(name)).st_blocks * 512;
  }
  EXPECT_EQ(found, named);
  EXPECT_EQ(found.size(), 11u);
  EXPECT_EQ(result.publish().stored_bytes(), blocks);

  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result again, Run(request));
  EXPECT_EQ(again.publish().DebugString(), result.publish().DebugString());

  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result scrubbed, Run(ScrubRequest()));
  EXPECT_TRUE(scrubbed.remove().existed());
  EXPECT_FALSE(exists(root_.path("vmkeep/") + kVm));
  EXPECT_THAT(Tree(root_.path("vmkeep/.scrub")), IsEmpty());
}

// Seen red: without the look for stray files, and without that at the lengths.
TEST_F(ExportPublishTest, WhatChangedSinceTheSealIsNotPublished) {
  namespace stdfs = std::filesystem;
  const std::string configuration = kConfiguration;
  struct Change {
    const char* name;
    std::function<void(const std::string& folder)> make;
    const char* says;
  };
  const std::vector<Change> changes = {
      {"a stray file", [](const auto& at) { Put(at + "/x/stray", ""); }, "export/x/stray"},
      {"a stray disk", [](const auto& at) { Put(at + "/Virtual Hard Disks/n.vhdx", "vhdxfile"); },
       "export/Virtual Hard Disks/n.vhdx"},
      {"a link", [](const auto& at) { stdfs::create_directory_symlink("/", at + "/l"); },
       "export/l"},
      {"a missing file", [&](const auto& at) { stdfs::remove(at + "/" + configuration); },
       kConfiguration},
      {"a longer file", [&](const auto& at) { Put(at + "/" + configuration, "x"); },
       "has 1 bytes instead of 54321"},
      {"a missing disk", [](const auto& at) { stdfs::remove(at + "/Virtual Hard Disks/web.vhdx"); },
       "export/Virtual Hard Disks/web.vhdx is missing"},
      {"a shorter disk",
       [](const auto& at) { stdfs::resize_file(at + "/Virtual Hard Disks/web.vhdx", 9'000'000); },
       "web.vhdx has 9000000 bytes"},
      {"no export", [](const auto& at) { stdfs::remove_all(at); }, "is missing"},
  };
  for (const Change& change : changes) {
    SCOPED_TRACE(change.name);
    const v1::Request request = SealedRequest();
    change.make(Sealed());
    EXPECT_THAT(Run(request),
                AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(change.says)),
                      HasReason("INCOMING_INCOMPLETE")));
    EXPECT_FALSE(exists(Published()));
  }
}

TEST_F(ExportPublishTest, AFileThatBecameALinkIsNotPublished) {
  const v1::Request request = SealedRequest();
  std::filesystem::rename(Sealed(kConfiguration), host_.path("x"));
  std::filesystem::create_symlink(host_.path("x"), Sealed(kConfiguration));
  EXPECT_THAT(Run(request), HasReason("REPOSITORY_TAMPERED"));
}

TEST_F(ExportPublishTest, TheRequestNamesAllOfTheExport) {
  const v1::Request good = SealedRequest();
  v1::Request request = good;
  request.mutable_publish()->mutable_sealed_files()->RemoveLast();
  EXPECT_THAT(Run(request), HasReason("INCOMING_INCOMPLETE"));
  request = good;
  request.mutable_publish()->mutable_manifest()->mutable_disks()->RemoveLast();
  EXPECT_THAT(Run(request), HasReason("INCOMING_INCOMPLETE"));
  for (const char* file : {"export/../x", "x", "../x", "export", "/export/x"}) {
    request = good;
    request.mutable_publish()->mutable_sealed_files(0)->set_file(file);
    EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT")) << file;
  }
  request = good;
  request.mutable_publish()->mutable_sealed_files(0)->set_sha256("x");
  EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT"));
  request = good;
  *request.mutable_publish()->add_sealed_files() = good.publish().sealed_files(0);
  EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT"));
  request = good;
  request.mutable_publish()->mutable_manifest()->set_hypervisor("libvirt");
  EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT"));
  request = good;
  request.mutable_publish()->add_small_files()->set_file("export");
  EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT"));
  EXPECT_FALSE(exists(Published()));
  EXPECT_THAT(Run(good), IsOk());
}

// A reader takes no longer one, so this would be a backup that nobody can find again.
TEST_F(ExportPublishTest, AManifestThatIsTooLongIsNotPublished) {
  v1::Request request = SealedRequest();
  request.mutable_publish()->mutable_manifest()->set_name(std::string(manifest::kMaxBytes, 'x'));
  EXPECT_THAT(Run(request), HasReason("INCOMING_INCOMPLETE"));
  EXPECT_FALSE(exists(Published()));
}

// Of another hypervisor a folder named export is a leftover like any other.
TEST_F(ExportPublishTest, AnExportThatNobodySealedGoes) {
  const absl::StatusOr<v1::Result> copied = Run(CopyRequest(MakeSource("image")));
  ASSERT_THAT(copied, IsOk());
  Put(Sealed("x"), "x");
  ASSERT_THAT(Run(PublishRequest(copied->copy())), IsOk());
  EXPECT_FALSE(exists(Published("export")));
}

// A share of Windows shows a read-only attribute as these modes. Removed by an ordinary user too:
// root may write everywhere. Seen red: without the fchmod of RemoveTree.
TEST_F(ExportPublishTest, ReadOnlyTreesAndLinksInThemGo) {
  Put(host_.path("outside/precious"), "x");
  const auto spoil = [&](const std::string& at) {
    std::filesystem::create_directory_symlink(host_.path("outside"), at + "/link");
    std::filesystem::create_symlink(host_.path("outside/precious"),
                                    at + "/Virtual Hard Disks/file");
    chmod((at + "/" + kConfiguration).c_str(), 0400);
    for (const char* folder : {"/Virtual Machines", "/Virtual Hard Disks", ""})
      chmod((at + folder).c_str(), 0500);
  };
  const auto as_nobody = [&](const v1::Request& request) {
    const pid_t child = fork();
    if (child == 0) {
      const bool dropped = setgroups(0, nullptr) == 0 && setgid(65534) == 0 && setuid(65534) == 0;
      const absl::StatusOr<v1::Result> result = Run(request);
      _exit(dropped && result.ok() && result->remove().existed() ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  const auto give_away = [](const std::string& root) {
    EXPECT_EQ(lchown(root.c_str(), 65534, 65534), 0);
    for (const std::string& name : Tree(root))
      EXPECT_EQ(lchown(absl::StrCat(root, "/", name).c_str(), 65534, 65534), 0);
  };
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";

  ASSERT_THAT(Run(SealedRequest()), IsOk());
  spoil(Published("export"));
  give_away(root_.path());
  EXPECT_TRUE(as_nobody(ScrubRequest()));
  EXPECT_FALSE(exists(root_.path("vmkeep/") + kVm));
  EXPECT_THAT(Tree(root_.path("vmkeep/.scrub")), IsEmpty());

  Export();
  spoil(Staged());
  give_away(root_.path());
  EXPECT_TRUE(as_nobody(DiscardRequest()));
  EXPECT_FALSE(exists(Incoming()));
  EXPECT_TRUE(exists(host_.path("outside/precious")));
}

}  // namespace
}  // namespace vmkeep::worker
