#ifndef VMKEEP_TESTS_UNIT_WORKER_WORKER_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_WORKER_WORKER_FIXTURE_H_

#include "common/clock.h"
#include "executor/worker/job_context.h"
#include "executor/worker/jobs.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace vmkeep::worker {

inline constexpr char kRepositoryId[] = "99999999-8888-4777-8666-555555555555";
inline constexpr char kOtherId[] = "99999999-8888-4777-8666-000000000000";
inline constexpr char kVm[] = "11111111-2222-4333-8444-555555555555";
inline constexpr char kBackup[] = "01890a5d-ac96-774b-bcce-b302099a8057";
inline constexpr char kTask[] = "01890a5d-ac96-774b-bcce-b302099a8058";
inline constexpr char kIncoming[] = "01890a5d-ac96-774b-bcce-b302099a8058.1";

// Makes the kernel fail every pread() at `offset` or behind it, for good: the marker and the lists
// of a small repository can still be read. In a child (death tests).
inline void FailReadsFrom(uint32_t offset, int err) {
  std::array<sock_filter, 6> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pread64, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[3])),  // its low half
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, offset, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(err)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    std::abort();
  }
}

// A clock that moves on by a second whenever it is asked, so that each progress is passed on.
class RestlessClock final : public Clock {
 public:
  absl::Time Now() override { return RealClock().Now(); }
  absl::Duration Monotonic() override { return absl::Seconds(++seconds_); }
  bool WaitUntil(absl::Duration, const std::stop_token& stop) override {
    return !stop.stop_requested();
  }

 private:
  std::atomic<int64_t> seconds_ = 0;
};

// A repository in a plain folder, and a folder for what lies on the host.
class WorkerTest : public testing::Test {
 protected:
  void SetUp() override {
    v1::Request request;
    request.mutable_init_repository()->set_allow_plain_directory(true);
    *request.mutable_init_repository()->mutable_repository() = Repository();
    ASSERT_THAT(Run(request), test::IsOk());
  }

  v1::Repository Repository() const {
    v1::Repository repository;
    repository.set_root(root_.path());
    repository.set_id(kRepositoryId);
    return repository;
  }

  absl::StatusOr<v1::Result> Run(const v1::Request& request) {
    JobContext context(&RealClock(), [](const v1::Progress&) {});
    return RunJob(request, &context);
  }

  v1::Request CopyRequest(const std::string& source,
                          const std::string& file = "disk-vda.raw") const {
    v1::Request request;
    v1::Copy* copy = request.mutable_copy();
    *copy->mutable_repository() = Repository();
    copy->set_incoming(kIncoming);
    copy->set_source(source);
    copy->set_format("raw");
    copy->set_file(file);
    return request;
  }

  // A manifest of the one disk that was copied, and a small file.
  v1::Request PublishRequest(const v1::CopyResult& copy, int64_t epoch = 1) const {
    v1::Request request;
    v1::Publish* publish = request.mutable_publish();
    *publish->mutable_repository() = Repository();
    publish->set_incoming(std::string(kTask) + "." + std::to_string(epoch));
    manifest::v1::Manifest* manifest = publish->mutable_manifest();
    manifest->set_format_version(1);
    manifest->set_backup_id(kBackup);
    manifest->set_task_id(kTask);
    manifest->set_epoch(epoch);
    manifest->mutable_vm()->set_uuid(kVm);
    manifest->mutable_repository()->set_id(kRepositoryId);
    manifest::v1::Disk* disk = manifest->add_disks();
    disk->set_target("vda");
    disk->set_file("disk-vda.raw");
    disk->set_format("raw");
    disk->set_file_bytes(copy.file_bytes());
    disk->set_data_bytes(copy.data_bytes());
    *disk->mutable_digest() = copy.digest();
    v1::SmallFile* file = publish->add_small_files();
    file->set_file("domain.xml");
    file->set_role("domain");
    file->set_content("<domain/>\n");
    return request;
  }

  std::string MakeSource(const std::string& content) {
    const std::string path = host_.path("image");
    EXPECT_TRUE(test::WriteFile(path, content));
    return path;
  }

  // Copies a source and publishes it.
  absl::StatusOr<v1::Result> MakeBackup(const std::string& content = "image") {
    absl::StatusOr<v1::Result> copied = Run(CopyRequest(MakeSource(content)));
    if (!copied.ok()) return copied;
    return Run(PublishRequest(copied->copy()));
  }

  std::string Incoming(const std::string& file = "") const {
    return root_.path("vmkeep/.incoming/") + kIncoming + (file.empty() ? "" : "/" + file);
  }
  std::string Published(const std::string& file = "") const {
    return root_.path("vmkeep/") + kVm + "/" + kBackup + (file.empty() ? "" : "/" + file);
  }

  static std::vector<std::string> Tree(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      names.push_back(std::filesystem::relative(entry.path(), path));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static struct stat StatOf(const std::string& path) {
    struct stat found{};
    EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
    return found;
  }

  test::TempDir root_;
  test::TempDir host_;
};

inline std::string RandomBytes(size_t bytes, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::string text(bytes, '\0');
  for (size_t at = 0; at + 8 <= bytes; at += 8) {
    const uint64_t value = random();
    std::copy_n(reinterpret_cast<const char*>(&value), 8, text.data() + at);
  }
  for (size_t at = bytes / 8 * 8; at < bytes; ++at) text[at] = static_cast<char>(random() | 1);
  return text;
}

}  // namespace vmkeep::worker

#endif  // VMKEEP_TESTS_UNIT_WORKER_WORKER_FIXTURE_H_
