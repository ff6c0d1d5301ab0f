#include "executor/worker/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TargetTest, ANetworkDriveNamesItsShare) {
  const Target target = DescribeTarget({.path = "p:\\x",
                                        .drive = DriveKind::kNetwork,
                                        .dos_device = R"(\Device\LanmanRedirector\;P:0\nas\b)",
                                        .unc = R"(\\nas\backup)",
                                        .file_system = "NTFS"});
  EXPECT_EQ(target.words, R"(P: leads to the share \\nas\backup (a network drive))");
  EXPECT_THAT(target.remedy, HasSubstr(R"(-LocalPath P: -RemotePath \\nas\backup)"));
  EXPECT_EQ(DescribeTarget({.path = "P:\\", .drive = DriveKind::kNetwork}).words,
            "P: is a network drive whose share is not known");
}

TEST(TargetTest, AMissingDriveSaysHowToHaveOne) {
  const Target target = DescribeTarget({.path = "P:\\", .drive = DriveKind::kMissing});
  EXPECT_EQ(target.words, "there is no drive P: in this logon session");
  EXPECT_THAT(target.remedy,
              AllOf(HasSubstr(R"(New-SmbGlobalMapping -LocalPath P: -RemotePath \\server\share)"),
                    HasSubstr("--repository_primary"), HasSubstr("computer account")));
}

TEST(TargetTest, ASubstIsWhatItStandsFor) {
  EXPECT_EQ(DescribeTarget({.path = "P:\\",
                            .drive = DriveKind::kFixed,
                            .dos_device = R"(\??\C:\backup)",
                            .file_system = "NTFS"})
                .words,
            R"(P: stands for C:\backup (subst), a folder of this host's own disk)");
  EXPECT_EQ(
      DescribeTarget({.path = "P:/", .drive = DriveKind::kFixed, .dos_device = R"(\??\UNC\nas\b)"})
          .words,
      R"(P: leads to the share \\nas\b (a network drive))");
}

TEST(TargetTest, TheHostsOwnDisks) {
  const Target own =
      DescribeTarget({.path = "c:\\backup", .drive = DriveKind::kFixed, .file_system = "NTFS"});
  EXPECT_EQ(own.words, "c:\\backup is a folder of this host's own disk (NTFS)");
  EXPECT_EQ(DescribeTarget({.path = "D:\\", .drive = DriveKind::kFixed}).words,
            "D: is a local fixed disk of this host");
  EXPECT_EQ(
      DescribeTarget({.path = "c:\\x", .drive = DriveKind::kFixed, .system_drive = 'd'}).words,
      "C: is a local fixed disk of this host");
}

TEST(TargetTest, AUncPathIsAShare) {
  const Target target = DescribeTarget({.path = R"(\\nas\backup\vm)", .file_system = "ReFS"});
  EXPECT_EQ(target.words, R"(a share by its UNC path, \\nas\backup\vm (ReFS))");
  EXPECT_THAT(target.remedy, HasSubstr("computer account"));
}

TEST(TargetTest, WhatIsNotKnownIsNotSaid) {
  EXPECT_EQ(DescribeTarget({.path = "P:\\"}).words, "");
  EXPECT_EQ(DescribeTarget({.path = ""}).words, "");
}

TEST(TargetTest, TheMountThatAPathLiesOn) {
  constexpr char kInfo[] =
      "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
      "30 21 0:44 / /mnt/p rw shared:7 - nfs4 nas:/backup-p rw,vers=4.2\n"
      "31 21 0:45 / /mnt/with\\040space rw - cifs //nas/b\\040b rw\n"
      "32 21 0:46 / /mnt/twice rw - tmpfs below rw\n"
      "33 32 0:47 / /mnt/twice rw - nfs4 nas:/above rw\n"
      "broken\n";
  EXPECT_EQ(MountOf(kInfo, "/mnt/p"), "nfs4 nas:/backup-p");
  EXPECT_EQ(MountOf(kInfo, "/mnt/p/below"), "nfs4 nas:/backup-p");
  EXPECT_EQ(MountOf(kInfo, "/mnt/pq"), "ext4 /dev/sda1");
  EXPECT_EQ(MountOf(kInfo, "/mnt/with space/x"), "cifs //nas/b b");
  EXPECT_EQ(MountOf(kInfo, "/mnt/twice"), "nfs4 nas:/above");
  EXPECT_EQ(MountOf("", "/mnt/p"), "");
}

#ifndef _WIN32
TEST(TargetTest, ThisHostKnowsItsRoot) {
  EXPECT_NE(LookAtTarget("/proc").words.find("proc"), std::string::npos);
}
#endif

}  // namespace
}  // namespace vmkeep::worker
