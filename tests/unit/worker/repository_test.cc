#include "executor/worker/repository.h"

#include "common/error.h"
#include "common/fs/errors.h"
#include "executor/worker/errors.h"
#include "tests/support/fail_syscall.h"
#include "tests/support/scoped_mount.h"
#include "tests/unit/worker/worker_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <utime.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::worker {
namespace {

using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RepositoryTest : public WorkerTest {
 protected:
  // Every kind of job, each complete enough to do harm if nothing stopped it.
  std::vector<v1::Request> EveryJob(const v1::Repository& repository) {
    const std::string source = MakeSource(RandomBytes(5 << 20, 1));
    std::vector<v1::Request> jobs(4);
    *jobs[0].mutable_probe()->mutable_repository() = repository;
    jobs[1].mutable_discard()->set_incoming(kIncoming);
    jobs[1].mutable_discard()->set_vm_uuid(kVm);
    jobs[1].mutable_discard()->set_backup_id(kBackup);
    *jobs[1].mutable_discard()->mutable_repository() = repository;
    jobs[2].mutable_scrub()->set_vm_uuid(kVm);
    jobs[2].mutable_scrub()->set_backup_id(kBackup);
    *jobs[2].mutable_scrub()->mutable_repository() = repository;
    jobs[3] = CopyRequest(source);
    *jobs[3].mutable_copy()->mutable_repository() = repository;
    v1::Request publish = PublishRequest({});
    publish.mutable_publish()->mutable_manifest()->clear_disks();
    publish.mutable_publish()->mutable_manifest()->mutable_repository()->set_id(repository.id());
    *publish.mutable_publish()->mutable_repository() = repository;
    jobs.push_back(publish);
    return jobs;
  }
};

// Seen red: with RepositoryRoot::Open() not reading the marker, each of them made folders in the
// empty mount.
TEST_F(RepositoryTest, WithoutAMarkerNoJobWritesAByte) {
  test::TempDir empty;
  v1::Repository repository = Repository();
  repository.set_root(empty.path());
  for (const v1::Request& job : EveryJob(repository)) {
    EXPECT_THAT(Run(job), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition,
                                         HasSubstr("mount the repository")),
                                HasReason("REPOSITORY_MARKER_ABSENT")))
        << job.DebugString();
  }
  EXPECT_THAT(Tree(empty.path()), IsEmpty());
}

TEST_F(RepositoryTest, WithAnotherMarkerNoJobWritesAByte) {
  const std::vector<std::string> before = Tree(root_.path());
  v1::Repository repository = Repository();
  repository.set_id(kOtherId);
  for (const v1::Request& job : EveryJob(repository)) {
    EXPECT_THAT(Run(job), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                HasReason("REPOSITORY_MISMATCH")))
        << job.DebugString();
  }
  EXPECT_EQ(Tree(root_.path()), before);
}

TEST_F(RepositoryTest, WithoutAnIdOnlyAProbeIsAllowed) {
  v1::Repository any = Repository();
  any.clear_id();
  for (const v1::Request& job : EveryJob(any)) {
    if (job.has_probe()) {
      EXPECT_THAT(Run(job), IsOk());
    } else {
      EXPECT_THAT(Run(job), HasReason("INVALID_ARGUMENT")) << job.DebugString();
    }
  }
}

TEST_F(RepositoryTest, AMissingFolderIsNoMount) {
  v1::Request request;
  request.mutable_probe()->mutable_repository()->set_root(host_.path("nowhere"));
  EXPECT_THAT(Run(request), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                  HasReason("REPOSITORY_NOT_MOUNTED")));
  request.mutable_probe()->mutable_repository()->set_root("relative/path");
  EXPECT_THAT(Run(request), HasReason("INVALID_ARGUMENT"));
}

TEST_F(RepositoryTest, AMarkerThatIsNoMarkerIsSaidToBeBroken) {
  for (const char* text :
       {"", "x", "{}", "{\"format_version\":1}", "{\"format_version\":1,\"id\":\"../..\"}",
        "{\"format_version\":2,\"id\":\"99999999-8888-4777-8666-555555555555\"}"}) {
    std::filesystem::remove(root_.path(kMarker));
    ASSERT_TRUE(test::WriteFile(root_.path(kMarker), text));
    v1::Request request;
    *request.mutable_probe()->mutable_repository() = Repository();
    EXPECT_THAT(Run(request), AllOf(StatusIs(absl::StatusCode::kDataLoss),
                                    HasReason("REPOSITORY_MARKER_INVALID")))
        << text;
  }
}

TEST_F(RepositoryTest, AMarkerThatIsALinkIsNotFollowed) {
  std::filesystem::rename(root_.path(kMarker), host_.path("marker"));
  std::filesystem::create_symlink(host_.path("marker"), root_.path(kMarker));
  v1::Request request;
  *request.mutable_probe()->mutable_repository() = Repository();
  EXPECT_THAT(Run(request), HasReason("REPOSITORY_MARKER_INVALID"));
}

TEST_F(RepositoryTest, AProbeSaysIdAndSpaceAndLeavesNothing) {
  const std::vector<std::string> before = Tree(root_.path());
  v1::Request request;
  *request.mutable_probe()->mutable_repository() = Repository();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(request));
  EXPECT_EQ(result.probe().id(), kRepositoryId);
  EXPECT_GT(result.probe().total_bytes(), 0);
  EXPECT_GT(result.probe().free_bytes(), 0);
  EXPECT_EQ(Tree(root_.path()), before);
}

TEST_F(RepositoryTest, FilesOfKilledProbesGoAfterAnHour) {
  const std::string old = root_.path("vmkeep/.incoming/.probe-old");
  const std::string young = root_.path("vmkeep/.incoming/.probe-young");
  ASSERT_TRUE(test::WriteFile(old, "p"));
  ASSERT_TRUE(test::WriteFile(young, "p"));
  const utimbuf two_hours_ago{time(nullptr) - 7200, time(nullptr) - 7200};
  ASSERT_EQ(utime(old.c_str(), &two_hours_ago), 0);
  v1::Request request;
  *request.mutable_probe()->mutable_repository() = Repository();
  ASSERT_THAT(Run(request), IsOk());
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(young));
}

TEST_F(RepositoryTest, AFailedFlushOfTheProbeIsAnIllRepository) {
  EXPECT_EXIT(
      {
        test::TrapSyscall(SYS_fsync, EIO);
        v1::Request request;
        *request.mutable_probe()->mutable_repository() = Repository();
        const absl::Status status = Run(request).status();
        std::exit(ErrorReason(status) == "REPOSITORY_IO_ERROR" && test::TrappedCalls() == 1 ? 0
                                                                                            : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_THAT(Tree(root_.path("vmkeep/.incoming")), IsEmpty());
}

TEST_F(RepositoryTest, InitTwiceKeepsTheFirstMarker) {
  const std::string marker = test::ReadFile(root_.path(kMarker));
  EXPECT_THAT(
      marker,
      HasSubstr(
          "{\"format_version\":1,\"id\":\"99999999-8888-4777-8666-555555555555\",\"created\":\"2"));
  v1::Request request;
  request.mutable_init_repository()->set_allow_plain_directory(true);
  *request.mutable_init_repository()->mutable_repository() = Repository();
  request.mutable_init_repository()->mutable_repository()->set_id(kOtherId);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(request));
  EXPECT_EQ(result.probe().id(), kRepositoryId);
  EXPECT_EQ(test::ReadFile(root_.path(kMarker)), marker);
  EXPECT_THAT(Tree(root_.path()),
              ElementsAre(kMarker, "vmkeep", "vmkeep/.incoming", "vmkeep/.scrub"));
  EXPECT_EQ(StatOf(root_.path("vmkeep/.incoming")).st_mode & 0777, 0700u);
  EXPECT_EQ(StatOf(root_.path(kMarker)).st_mode & 0222, 0u);
}

TEST_F(RepositoryTest, InitWithoutAnIdMakesOne) {
  test::TempDir plain;
  v1::Request request;
  request.mutable_init_repository()->set_allow_plain_directory(true);
  request.mutable_init_repository()->mutable_repository()->set_root(plain.path());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result result, Run(request));
  EXPECT_THAT(test::ReadFile(plain.path(kMarker)), HasSubstr(result.probe().id()));
}

TEST_F(RepositoryTest, InitOfAPlainFolderNeedsToBeAllowed) {
  test::TempDir plain;
  v1::Request request;
  request.mutable_init_repository()->mutable_repository()->set_root(plain.path());
  EXPECT_THAT(Run(request), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                  HasReason("REPOSITORY_NOT_MOUNTED")));
  EXPECT_THAT(Tree(plain.path()), IsEmpty());
  // The host's own root is a mount point, and the very disk to protect.
  request.mutable_init_repository()->mutable_repository()->set_root("/");
  EXPECT_THAT(Run(request), HasReason("REPOSITORY_NOT_MOUNTED"));
}

TEST_F(RepositoryTest, InitOfAMountPointNeedsNoLeave) {
  test::TempDir mounted;
  const test::ScopedMount tmpfs("none", mounted.path(), "tmpfs", 0, "size=1m");
  if (!tmpfs.mounted()) GTEST_SKIP() << "mount needs root";
  v1::Request request;
  request.mutable_init_repository()->mutable_repository()->set_root(mounted.path());
  EXPECT_THAT(Run(request), IsOk());
}

TEST_F(RepositoryTest, OfManyInitsAtOnceOneMarkerWins) {
  test::TempDir plain;
  std::vector<std::string> ids(8);
  {
    std::vector<std::jthread> hosts;
    for (std::string& id : ids) {
      hosts.emplace_back([&] {
        v1::Request request;
        request.mutable_init_repository()->set_allow_plain_directory(true);
        request.mutable_init_repository()->mutable_repository()->set_root(plain.path());
        const absl::StatusOr<v1::Result> result = Run(request);
        if (result.ok()) id = result->probe().id();
      });
    }
  }
  EXPECT_EQ(ids, std::vector<std::string>(8, ids[0]));
  EXPECT_NE(ids[0], "");
  EXPECT_THAT(Tree(plain.path()),
              ElementsAre(kMarker, "vmkeep", "vmkeep/.incoming", "vmkeep/.scrub"));
}

TEST_F(RepositoryTest, AReadOnlyMountIsSaidToBeOne) {
  test::TempDir mounted;
  const test::ScopedMount bound(root_.path(), mounted.path(), nullptr, MS_BIND, nullptr);
  const test::ScopedMount read_only(root_.path(), mounted.path(), nullptr,
                                    MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr);
  if (!bound.mounted() || !read_only.mounted()) GTEST_SKIP() << "mount needs root";
  v1::Request request;
  *request.mutable_probe()->mutable_repository() = Repository();
  request.mutable_probe()->mutable_repository()->set_root(mounted.path());
  EXPECT_THAT(Run(request), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                  HasReason("REPOSITORY_NOT_WRITABLE")));
}

TEST_F(RepositoryTest, ALinkInPlaceOfOurFolderIsNotFollowed) {
  std::filesystem::remove_all(root_.path("vmkeep"));
  std::filesystem::create_directory_symlink(host_.path(), root_.path("vmkeep"));
  const std::string source = MakeSource("image");
  const std::vector<std::string> before = Tree(host_.path());
  EXPECT_THAT(Run(CopyRequest(source)), HasReason("REPOSITORY_TAMPERED"));
  v1::Request probe;
  *probe.mutable_probe()->mutable_repository() = Repository();
  EXPECT_THAT(Run(probe), HasReason("REPOSITORY_TAMPERED"));
  EXPECT_EQ(Tree(host_.path()), before);
}

TEST(ErrorsTest, ErrnosOfARepositoryHaveTheirReason) {
  const auto reason = [](int err) {
    return ErrorReason(error::AtRepository(fs::error::FromErrno(err, "x", "y"), "/r"));
  };
  EXPECT_EQ(reason(ENOSPC), "REPOSITORY_FULL");
  EXPECT_EQ(reason(EDQUOT), "REPOSITORY_FULL");
  EXPECT_EQ(reason(EROFS), "REPOSITORY_NOT_WRITABLE");
  EXPECT_EQ(reason(EACCES), "REPOSITORY_NOT_WRITABLE");
  EXPECT_EQ(reason(ELOOP), "REPOSITORY_TAMPERED");
  EXPECT_EQ(reason(EIO), "REPOSITORY_IO_ERROR");
  EXPECT_EQ(reason(ESTALE), "REPOSITORY_IO_ERROR");
  EXPECT_EQ(ErrorReason(error::AtRepository(error::SourceReadError("/s", 5, EIO), "/r")),
            "SOURCE_READ_ERROR");
  EXPECT_EQ(ErrorReason(error::AtRepository(error::Cancelled(), "/r")), "CANCELLED");
}

TEST(IncomingNameTest, IsATaskAndAnEpoch) {
  const std::string task = kTask;
  for (const std::string& name : {task + ".1", task + ".9223372036854775807"})
    EXPECT_TRUE(IsIncomingName(name)) << name;
  for (const std::string& name :
       {std::string(), task, task + ".", task + ".0", task + ".-1", task + ".1/..", task + ".x",
        "../" + task + ".1", task + ".12345678901234567890"}) {
    EXPECT_FALSE(IsIncomingName(name)) << name;
  }
}

}  // namespace
}  // namespace vmkeep::worker
