// The binary, killed and misled at its fault points while it seals an export.
#include "common/clock.h"
#include "common/fault_point/fault_point.h"
#include "common/jsonl/jsonl.h"
#include "tests/unit/worker/export_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>

namespace vmkeep::worker {
namespace {

using process::ChildProcess;
using std::filesystem::exists;
using test::IsOk;

constexpr absl::Duration kSoon = absl::Seconds(20);

class SealProcessTest : public ExportTest {
 protected:
  void SetUp() override {
    if (!kFaultPoints) GTEST_SKIP() << "built without fault points";
    ExportTest::SetUp();
    Export();
  }

  std::unique_ptr<ChildProcess> StartSeal(const std::string& plan) {
    std::filesystem::create_directories(host_.path("faults"));
    EXPECT_TRUE(test::WriteFile(host_.path("faults/plan"), plan));
    absl::StatusOr<std::unique_ptr<ChildProcess>> child = process::Spawn(
        {.argv = {VMKEEP_WORKER}, .environment = {{"VMKEEP_FAULT_DIR", host_.path("faults")}}});
    EXPECT_THAT(child, IsOk());
    EXPECT_THAT((*child)->Write(jsonl::Encode(SealRequest()).value(), kSoon), IsOk());
    return *std::move(child);
  }

  bool WaitFor(const std::string& path) const {
    const absl::Duration until = RealClock().Monotonic() + kSoon;
    while (!exists(path) && RealClock().Monotonic() < until)
      RealClock().WaitFor(absl::Milliseconds(5), {});
    return exists(path);
  }
};

TEST_F(SealProcessTest, KilledAnywhereItCanBeRepeated) {
  for (const char* point :
       {"worker.seal.rename.before", "worker.seal.rename.after", "worker.seal.flush-folders.after",
        "worker.seal.flush-list.before", "worker.seal.flush-list.after"}) {
    SCOPED_TRACE(point);
    std::filesystem::remove_all(host_.path("faults"));
    Export();
    const std::unique_ptr<ChildProcess> child = StartSeal(absl::StrCat("hold ", point, " 1\n"));
    ASSERT_TRUE(WaitFor(host_.path(absl::StrCat("faults/held.", point))));
    EXPECT_EQ(exists(Sealed()), absl::string_view(point) != "worker.seal.rename.before");
    child->Kill();
    EXPECT_EQ(child->Wait(kSoon)->signal, SIGKILL);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const v1::Result sealed, Run(SealRequest()));
    for (const v1::SealedDisk& disk : sealed.seal_export().disks()) {
      EXPECT_EQ(test::ReadFile(Incoming(disk.copy().digest().list_file())),
                ListBySplit(Incoming(disk.file())));
    }
    EXPECT_FALSE(exists(Incoming(".export")));
  }
}

// Seen red: with the rename's own answer taken for the truth.
TEST_F(SealProcessTest, ARenameThatHappenedAndReportsAnErrorIsDone) {
  const std::unique_ptr<ChildProcess> child = StartSeal("fail-once worker.seal.rename.after 1\n");
  EXPECT_TRUE(child->Wait(kSoon)->ok());
}

TEST_F(SealProcessTest, AListThatIsNotFlushedIsNoSeal) {
  const std::unique_ptr<ChildProcess> child =
      StartSeal("fail-once worker.seal.flush-list.before 1\n");
  EXPECT_EQ(child->Wait(kSoon)->code, 1);
  EXPECT_THAT(Run(SealRequest()), IsOk());
}

}  // namespace
}  // namespace vmkeep::worker
