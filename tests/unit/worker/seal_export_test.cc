#include "executor/worker/seal_export.h"

#include "common/error.h"
#include "executor/worker/export_tree.h"
#include "tests/support/fail_syscall.h"
#include "tests/support/page_cache.h"
#include "tests/unit/worker/export_fixture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::worker {
namespace {

using std::filesystem::exists;
using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class SealExportTest : public ExportTest {
 protected:
  absl::StatusOr<v1::SealExportResult> Seal(const v1::Request& request) {
    const absl::StatusOr<v1::Result> result = Run(request);
    if (!result.ok()) return result.status();
    return result->seal_export();
  }

  void ExpectTrue(const v1::SealExportResult& sealed) const {
    ASSERT_EQ(sealed.disks_size(), 2);
    EXPECT_EQ(sealed.disks(0).target(), "scsi0x1");
    EXPECT_EQ(sealed.disks(0).file(), "export/Virtual Hard Disks/data.vhd");
    EXPECT_EQ(sealed.disks(0).copy().digest().list_file(), "disk-scsi0x1.vhd.sha256");
    EXPECT_EQ(sealed.disks(1).target(), "scsi0x0");
    EXPECT_EQ(sealed.disks(1).file(), "export/Virtual Hard Disks/web.vhdx");
    EXPECT_EQ(sealed.disks(1).copy().digest().list_file(), "disk-scsi0x0.vhdx.sha256");
    for (const v1::SealedDisk& disk : sealed.disks()) {
      const std::string path = Incoming(disk.file());
      const manifest::v1::Digest& digest = disk.copy().digest();
      EXPECT_EQ(disk.copy().file_bytes(), StatOf(path).st_size);
      EXPECT_EQ(disk.copy().data_bytes(),
                std::min<int64_t>(StatOf(path).st_blocks * 512, StatOf(path).st_size));
      EXPECT_EQ(test::ReadFile(Incoming(digest.list_file())), ListBySplit(path));
      EXPECT_EQ(digest.root(), Sha256(Incoming(digest.list_file())));
      EXPECT_EQ(digest.algorithm(), "sha256");
      EXPECT_EQ(digest.chunk_bytes(), 4'194'304);
      EXPECT_EQ(StatOf(Incoming(digest.list_file())).st_mode & 0777, 0600u);
    }
    for (const manifest::v1::File& file : sealed.files()) {
      EXPECT_EQ(file.bytes(), StatOf(Incoming(file.file())).st_size);
      EXPECT_EQ(file.sha256(), Sha256(Incoming(file.file()))) << file.file();
    }
  }
};

TEST_F(SealExportTest, PrepareMakesAnEmptyFolderAndSaysWhere) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(PrepareRequest()));
  EXPECT_EQ(result.prepare_export().folder(), Incoming(".export"));
  EXPECT_THAT(Tree(Incoming()), ElementsAre(".export"));
  EXPECT_EQ(StatOf(Incoming(".export")).st_mode & 0777, 0700u);
}

TEST_F(SealExportTest, PrepareRemovesWhatAnEarlierExportLeft) {
  Export();
  Put(Sealed("old"), "x");
  std::filesystem::create_directory_symlink(host_.path(), Staged("link"));
  Put(host_.path("precious"), "x");
  ASSERT_THAT(Run(PrepareRequest()), IsOk());
  EXPECT_THAT(Tree(Incoming()), ElementsAre(".export"));
  EXPECT_TRUE(exists(host_.path("precious")));
}

TEST_F(SealExportTest, OnlyTheRepositoryThatIsMeant) {
  for (v1::Request request : {PrepareRequest(), SealRequest()}) {
    v1::Repository* repository = request.has_prepare_export()
                                     ? request.mutable_prepare_export()->mutable_repository()
                                     : request.mutable_seal_export()->mutable_repository();
    repository->set_id(kOtherId);
    EXPECT_THAT(Run(request), HasReason("REPOSITORY_MISMATCH"));
    repository->set_id("");
    EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT"));
    std::filesystem::rename(root_.path(".vmkeep-repository"), root_.path("away"));
    repository->set_id(kRepositoryId);
    EXPECT_THAT(Run(request), HasReason("REPOSITORY_MARKER_ABSENT"));
    std::filesystem::rename(root_.path("away"), root_.path(".vmkeep-repository"));
  }
  EXPECT_FALSE(exists(Incoming()));
}

TEST_F(SealExportTest, TheDigestsAreThoseOfOtherPrograms) {
  Export();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult sealed, Seal(SealRequest()));
  ExpectTrue(sealed);
  std::vector<std::pair<std::string, std::string>> roles;
  for (const manifest::v1::File& file : sealed.files())
    roles.emplace_back(file.file(), file.role());
  EXPECT_THAT(
      roles,
      ElementsAre(
          Pair("export/Snapshots/0A0B0C0D-0000-4000-8000-000000000001.vmcx", "export"),
          Pair("export/Virtual Hard Disks/gold image.VHDX", "parent"),
          Pair("export/Virtual Hard Disks/web_1234.avhdx", "parent"),
          Pair("export/Virtual Machines/2B5D0F3A-0C1B-4B35-9C1D-1D0B0C0D0E0F.VMRS", "export"),
          Pair("export/Virtual Machines/2B5D0F3A-0C1B-4B35-9C1D-1D0B0C0D0E0F.vmcx", "export"),
          Pair("export/Virtual Machines/empty.vmgs", "export")));
  EXPECT_FALSE(exists(Incoming(".export")));
  EXPECT_TRUE(exists(Sealed("Empty folder")));
}

TEST_F(SealExportTest, AnyNameOfAVm) {
  for (const std::string& name :
       {std::string("it's; $(calc) é"), std::string(100, 'x'), std::string("export"),
        std::string(".export"), std::string("-rf *")}) {
    SCOPED_TRACE(name);
    Export(name);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult sealed, Seal(SealRequest()));
    ExpectTrue(sealed);
    EXPECT_FALSE(exists(Incoming(".export")));
  }
}

TEST_F(SealExportTest, FilesAndFoldersMayBeNamedLikeThatToo) {
  Export();
  std::string image = "it's; $(calc) é " + std::string(100, 'x') + ".vhdx";
  std::filesystem::rename(Staged(kDisks + std::string("web.vhdx")),
                          Staged("Virtual Hard Disks/" + image));
  v1::Request request = SealRequest();
  request.mutable_seal_export()->mutable_disks(1)->set_file(image);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult sealed, Seal(request));
  EXPECT_EQ(sealed.disks(1).file(), "export/Virtual Hard Disks/" + image);
}

struct Refusal {
  const char* name;
  std::function<void(const std::string& vm)> spoil;  // with the VM's folder
  const char* says;
};

std::vector<Refusal> Refusals() {
  namespace stdfs = std::filesystem;
  const auto put = [](const std::string& path, const std::string& text) {
    stdfs::create_directories(stdfs::path(path).parent_path());
    EXPECT_TRUE(test::WriteFile(path, text));
  };
  const std::string disks = std::string("/") + kDisks;
  const std::string configuration = std::string("/") + kConfiguration;
  const std::string vhdx = "vhdxfile" + std::string(1000, 'x');
  const auto nested = [put](const std::string& vm, int names) {
    std::string path = vm;
    for (int i = 0; i < names; ++i) path += "/d";
    put(path, "x");
  };
  return {
      {"nothing", [](const auto& vm) { stdfs::remove_all(vm); }, "wrote nothing"},
      {"two folders", [](const auto& vm) { stdfs::create_directory(vm + "2"); },
       "more than one folder"},
      {"a file", [=](const auto& vm) { stdfs::remove_all(vm), put(vm, "x"); }, "no folder"},
      {"a link",
       [](const auto& vm) {
         stdfs::rename(vm, vm + "/../../moved");
         stdfs::create_directory_symlink("../moved", vm);
       },
       "no folder"},
      {"no configuration", [=](const auto& vm) { stdfs::remove(vm + configuration); },
       "no configuration"},
      {"a deep configuration",
       [=](const auto& vm) {
         stdfs::create_directory(vm + "/Virtual Machines/x");
         stdfs::rename(vm + configuration, vm + "/Virtual Machines/x/a.vmcx");
       },
       "no configuration"},
      {"two configurations", [=](const auto& vm) { put(vm + "/Virtual Machines/2.VMCX", "x"); },
       "second configuration"},
      {"no disk", [=](const auto& vm) { stdfs::remove(vm + disks + "web.vhdx"); },
       "WEB.vhdx: this image of the VM is missing"},
      {"no parent", [=](const auto& vm) { stdfs::remove(vm + disks + "gold image.VHDX"); },
       "Gold Image.vhdx: this image of the VM is missing"},
      {"a disk twice", [=](const auto& vm) { put(vm + "/Web.VHDX", vhdx); }, "the same name as"},
      {"a parent twice", [=](const auto& vm) { put(vm + "/x/gold image.vhdx", vhdx); },
       "the same name as"},
      {"an empty disk", [=](const auto& vm) { put(vm + disks + "web.vhdx", ""); },
       "web.vhdx: it is empty"},
      {"an empty image", [=](const auto& vm) { put(vm + "/Snapshots/x.AVHD", ""); },
       "x.AVHD: it is empty"},
      {"a VHDX without its mark",
       [=](const auto& vm) { put(vm + disks + "web.vhdx", std::string(1000, '\0')); },
       "web.vhdx: it does not begin with the mark"},
      {"a checkpoint without its mark",
       [=](const auto& vm) { put(vm + disks + "web_1234.avhdx", "vhdxfilf"); },
       "web_1234.avhdx: it does not begin with the mark"},
      {"a short VHDX", [=](const auto& vm) { put(vm + disks + "web.vhdx", "vhdxfil"); },
       "does not begin"},
      {"a VHD without its mark",
       [=](const auto& vm) { put(vm + disks + "data.vhd", "conectix" + std::string(1000, 'x')); },
       "data.vhd: it does not end with the mark"},
      {"a short VHD",
       [=](const auto& vm) { put(vm + disks + "data.vhd", "conectix" + std::string(503, 'x')); },
       "does not end"},
      {"a checkpoint's VHD without its mark",
       [=](const auto& vm) { put(vm + disks + "x.avhd", std::string(512, 'x')); }, "does not end"},
      {"a link to a file",
       [=](const auto& vm) {
         stdfs::rename(vm + disks + "web.vhdx", vm + "/../../web.vhdx");
         stdfs::create_symlink("../../../web.vhdx", vm + disks + "web.vhdx");
       },
       "web.vhdx: it is neither a file nor a folder"},
      {"a link to a folder", [=](const auto& vm) { stdfs::create_symlink("/", vm + "/l"); },
       "l: it is neither a file nor a folder"},
      {"a second name",
       [=](const auto& vm) {
         stdfs::create_hard_link(vm + disks + "web.vhdx", vm + "/../../other");
       },
       "web.vhdx: the same file has another name"},
      {"a pipe", [](const auto& vm) { EXPECT_EQ(mkfifo((vm + "/p").c_str(), 0600), 0); },
       "p: it is neither a file nor a folder"},
      {"a device",
       [](const auto& vm) { EXPECT_EQ(mknod((vm + "/dev").c_str(), S_IFCHR | 0600, 0x103), 0); },
       "dev: it is neither a file nor a folder"},
      {"no UTF-8", [=](const auto& vm) { put(vm + "/caf\xe9", "x"); }, "cannot be written down"},
      {"a backslash", [=](const auto& vm) { put(vm + "/a\\b", "x"); }, "cannot be written down"},
      {"a control character", [=](const auto& vm) { put(vm + "/a\nb/c", "x"); },
       "cannot be written down"},
      {"too deep", [=](const auto& vm) { nested(vm, kMaxExportDepth + 1); }, "deeper than 8"},
      {"too many",
       [=](const auto& vm) {
         for (size_t i = 0; i < kMaxExportEntries; ++i) put(vm + "/m/" + std::to_string(i), "");
       },
       "more than 10000 files and folders"},
      {"more came after the check",
       [](const auto& vm) { stdfs::create_directory(vm + "/../../export"); },
       "written after the export had been checked"},
  };
}

TEST_F(SealExportTest, NothingElseIsAnExport) {
  for (const Refusal& refusal : Refusals()) {
    SCOPED_TRACE(refusal.name);
    Export();
    refusal.spoil(Staged());
    EXPECT_THAT(Seal(SealRequest()),
                AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(refusal.says)),
                      HasReason("EXPORT_INCOMPLETE")));
    EXPECT_FALSE(exists(Sealed(kConfiguration))) << "renamed without a check";
    std::filesystem::remove_all(Incoming());
  }
}

// The bounds are not too narrow either.
TEST_F(SealExportTest, AsDeepAsMayBe) {
  Export();
  std::string path;
  for (int i = 1; i < kMaxExportDepth; ++i) path += "d/";
  Put(Staged(path + "f"), "x");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult sealed, Seal(SealRequest()));
  ExpectTrue(sealed);
  EXPECT_EQ(sealed.files_size(), 7);
}

TEST_F(SealExportTest, ImagesThatOneNameCannotTellApart) {
  Export();
  for (const auto& spoil : std::vector<std::function<void(v1::SealExport*)>>{
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_file("web.VHDX"); },
           [](v1::SealExport* seal) { seal->mutable_disks(1)->add_parents("gold image.vhdx"); },
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_file("gold image.vhdx"); },
           [](v1::SealExport* seal) { seal->mutable_disks(1)->add_parents("web.vhdx"); },
       }) {
    v1::Request request = SealRequest();
    spoil(request.mutable_seal_export());
    EXPECT_THAT(Seal(request),
                AllOf(HasReason("EXPORT_INCOMPLETE"),
                      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("name"))));
  }
  // A parent of two disks is one file.
  v1::Request request = SealRequest();
  request.mutable_seal_export()->mutable_disks(0)->add_parents("gold image.vhdx");
  EXPECT_THAT(Seal(request), IsOk());
}

TEST_F(SealExportTest, NothingOfTheRequestIsAPathUnchecked) {
  Export();
  for (const auto& spoil : std::vector<std::function<void(v1::SealExport*)>>{
           [](v1::SealExport* seal) { seal->set_incoming("../x"); },
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_file("../data.vhd"); },
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_file("C:\\data.vhd"); },
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_file("data.iso"); },
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_target("../x"); },
           [](v1::SealExport* seal) { seal->mutable_disks(0)->set_target(""); },
           [](v1::SealExport* seal) {
             seal->mutable_disks(0)->set_target("SCSI0x0");
             seal->mutable_disks(0)->set_file("data.vhdx");
           },
           [](v1::SealExport* seal) { seal->mutable_disks(1)->set_parents(0, "a/b.vhdx"); },
       }) {
    v1::Request request = SealRequest();
    spoil(request.mutable_seal_export());
    EXPECT_THAT(Seal(request), HasReason("INVALID_ARGUMENT"));
  }
  EXPECT_FALSE(exists(Sealed()));
}

TEST_F(SealExportTest, WithoutItsFolderThereIsNothing) {
  EXPECT_THAT(Seal(SealRequest()), HasReason("INCOMING_ABSENT"));
}

TEST_F(SealExportTest, AStagingFolderThatIsALinkIsNotFollowed) {
  Export();
  std::filesystem::rename(Incoming(".export"), host_.path("x"));
  std::filesystem::create_directory_symlink(host_.path("x"), Incoming(".export"));
  EXPECT_THAT(Seal(SealRequest()), HasReason("REPOSITORY_TAMPERED"));
  EXPECT_TRUE(exists(host_.path("x/web")));
}

// After a crash between the rename and the end: .export is empty, or gone, or never was flushed.
TEST_F(SealExportTest, ASealThatWasCutOffBeginsAnew) {
  for (const bool staging_is_left : {true, false}) {
    SCOPED_TRACE(staging_is_left);
    Export();
    std::filesystem::rename(Staged(), Sealed());
    if (!staging_is_left) std::filesystem::remove(Incoming(".export"));
    Put(Incoming("disk-scsi0x0.vhdx.sha256"), "half a list");
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult sealed, Seal(SealRequest()));
    ExpectTrue(sealed);
    // And once more, when all was done.
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult again, Seal(SealRequest()));
    EXPECT_EQ(again.DebugString(), sealed.DebugString());
    EXPECT_FALSE(exists(Incoming(".export")));
  }
}

// What was renamed is checked again: it may be somebody else's doing.
TEST_F(SealExportTest, AlsoUnderItsFinalNameItMustBeWhole) {
  Export();
  ASSERT_THAT(Seal(SealRequest()), IsOk());
  std::filesystem::remove(Sealed(kConfiguration));
  EXPECT_THAT(Seal(SealRequest()), HasReason("EXPORT_INCOMPLETE"));
}

TEST_F(SealExportTest, ProgressGoesOverAllFiles) {
  Export();
  std::vector<v1::Progress> lines;
  EXPECT_THAT(SealWatched(SealRequest(),
                          [&](JobContext*, const v1::Progress& line) { lines.push_back(line); }),
              IsOk());
  int64_t total = 0;
  for (const std::string& name : Tree(Sealed()))
    if (std::filesystem::is_regular_file(Sealed(name))) total += StatOf(Sealed(name)).st_size;
  ASSERT_GT(lines.size(), 15u);
  EXPECT_EQ(lines.front().bytes_done(), 0);
  for (const v1::Progress& line : lines) EXPECT_EQ(line.bytes_total(), total);
  EXPECT_EQ(lines.back().bytes_done(), total);
}

// Seen red: without the question in ReadBack::Read().
TEST_F(SealExportTest, CancelInTheMiddleStopsAndCanBeRepeated) {
  for (const int64_t at : {int64_t{2} << 20, int64_t{15} << 20}) {  // in a disk, in a parent
    Export();
    std::atomic<int64_t> done = 0;
    EXPECT_THAT(SealWatched(SealRequest(),
                            [&](JobContext* context, const v1::Progress& progress) {
                              done = progress.bytes_done();
                              if (done >= at) context->Cancel();
                            }),
                HasReason("CANCELLED"));
    EXPECT_GE(done, at);
    EXPECT_LE(done, at + (int64_t{5} << 20));
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::SealExportResult sealed, Seal(SealRequest()));
    ExpectTrue(sealed);
  }
}

// Seen red: with the time of change left out of CheckUnchanged().
TEST_F(SealExportTest, AFileThatIsStillWrittenToIsNoExport) {
  for (const char* name : {"web.vhdx", "gold image.VHDX"}) {
    SCOPED_TRACE(name);
    Export();
    const std::string path = Sealed(kDisks + std::string(name));
    // Long after the file was opened, or its last bytes were: each is read to its end.
    bool written = false;
    EXPECT_THAT(SealWatched(SealRequest(),
                            [&](JobContext*, const v1::Progress& progress) {
                              // Both lie behind data.vhd; gold image.VHDX behind web.vhdx, and
                              // Snapshots.
                              const int64_t from = name[0] == 'w' ? 7'000'000 : 15'000'000;
                              if (written || progress.bytes_done() < from) return;
                              written = true;
                              const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
                              EXPECT_EQ(pwrite(fd, "x", 1, 100), 1);
                              close(fd);
                            }),
                AllOf(HasReason("EXPORT_INCOMPLETE"),
                      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("changed while"))));
    EXPECT_TRUE(written);
  }
}

// Seen red: without the POSIX_FADV_DONTNEED of Open(), and without that of Read(); where the system
// reads 8 MiB ahead, now and then also without DoNotReadAhead().
TEST_F(SealExportTest, WhatWasJustWrittenIsReadFromTheDiskAndDoesNotStayInTheCache) {
  Export();
  const std::string disk = Staged(kDisks + std::string("data.vhd"));
  Put(disk, Vhd(40 << 20, 8));
  ASSERT_GT(test::CachedBytes(disk), 39 << 20) << "the test sees nothing";
  sync();
  if (!test::DropFromCache(disk)) GTEST_SKIP() << "this file system is the cache (tmpfs)";
  Put(disk, Vhd(40 << 20, 9));
  int64_t most = 0;
  EXPECT_THAT(SealWatched(SealRequest(),
                          [&](JobContext*, const v1::Progress& progress) {
                            if (progress.bytes_done() > 0)
                              most = std::max(
                                  most, test::CachedBytes(Sealed("Virtual Hard Disks/data.vhd")));
                          }),
              IsOk());
  EXPECT_LT(most, 34 << 20) << "it was read from the cache that its writer left";
  EXPECT_LT(test::CachedBytes(Sealed("Virtual Hard Disks/data.vhd")), 5 << 20);
}

// A failing flush or read is the repository's. In a child: the kernel's refusal is for good.
TEST_F(SealExportTest, AFlushThatFailsIsTheRepositorysFault) {
  Export();
  EXPECT_EXIT(
      {
        test::FailSyscall(SYS_fsync, EIO);
        const absl::Status status = Seal(SealRequest()).status();
        std::exit(ErrorReason(status) == "REPOSITORY_IO_ERROR" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(SealExportTest, AReadThatFailsIsTheRepositorysFault) {
  Export();
  EXPECT_EXIT(
      {
        FailReadsFrom(4096, EIO);
        const absl::Status status = Seal(SealRequest()).status();
        std::exit(ErrorReason(status) == "REPOSITORY_IO_ERROR" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(SealExportTest, ARenameThatFailsLeavesTheExportWhereItWas) {
  Export();
  EXPECT_EXIT(
      {
        test::FailSyscall(SYS_renameat, EIO);
        const absl::Status status = Seal(SealRequest()).status();
        std::exit(ErrorReason(status) == "REPOSITORY_IO_ERROR" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_TRUE(exists(Staged(kConfiguration)));
  EXPECT_THAT(Seal(SealRequest()), IsOk());
}

}  // namespace
}  // namespace vmkeep::worker
