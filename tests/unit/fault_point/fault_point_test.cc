#include "common/fault_point/fault_point.h"

#include "common/clock.h"
#include "common/error.h"
#include "tests/support/temp_dir.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

namespace vmkeep {
namespace {

class FaultPointTest : public testing::Test {
 protected:
  FaultPointTest() { setenv("VMKEEP_FAULT_DIR", dir_.path().c_str(), 1); }
  ~FaultPointTest() override { unsetenv("VMKEEP_FAULT_DIR"); }

  void Plan(const std::string& text) { ASSERT_TRUE(test::WriteFile(dir_.path("plan"), text)); }
  std::string Trace() const { return test::ReadFile(dir_.path("trace")); }
  static std::string Line(const std::string& rest) {
    return absl::StrCat(program_invocation_short_name, " ", getpid(), " ", rest, "\n");
  }
  bool Exists(const std::string& name) const { return std::filesystem::exists(dir_.path(name)); }
  // Waits until the file is there.
  bool Appears(const std::string& name) const {
    for (int i = 0; i < 2000 && !Exists(name); ++i) {
      RealClock().WaitFor(absl::Milliseconds(5), std::stop_token());
    }
    return Exists(name);
  }

  const test::TempDir dir_;
};

TEST_F(FaultPointTest, WithoutAFolderNothingHappens) {
  unsetenv("VMKEEP_FAULT_DIR");
  Plan("fail a.before 1\n");
  EXPECT_TRUE(FaultPoint("a.before").ok());
  EXPECT_FALSE(Exists("trace"));
}

TEST_F(FaultPointTest, EachHitIsTracedWithItsNumberAndKind) {
  EXPECT_TRUE(FaultPoint("traced.before", "save a task").ok());
  EXPECT_TRUE(FaultPoint("traced.before", "save a task").ok());
  CrashPoint("traced.after");
  EXPECT_EQ(Trace(), Line("traced.before:save-a-task 1 fault") +
                         Line("traced.before:save-a-task 2 fault") + Line("traced.after 1 crash"));
}

TEST_F(FaultPointTest, FailOnceFailsThatHitAloneAndSaysSo) {
  Plan("fail-once once.before 2\n");
  EXPECT_TRUE(FaultPoint("once.before").ok());
  EXPECT_TRUE(FaultPoint("other.before").ok());
  const absl::Status failed = FaultPoint("once.before");
  EXPECT_EQ(ErrorReason(failed), "INJECTED_FAULT");
  EXPECT_TRUE(absl::IsUnavailable(failed));
  EXPECT_TRUE(FaultPoint("once.before").ok());
  EXPECT_THAT(Trace(), testing::HasSubstr("once.before 2 fault fail-once\n"));
}

TEST_F(FaultPointTest, HitsOfOtherProcessesCount) {
  ASSERT_TRUE(test::WriteFile(dir_.path("hit.shared.before.1"), ""));
  Plan("fail-once shared.before 2\n");
  EXPECT_FALSE(FaultPoint("shared.before").ok());
}

TEST_F(FaultPointTest, FailFailsFromThereOnUntilThePlanIsGone) {
  Plan("fail from.before 2\n");
  EXPECT_TRUE(FaultPoint("from.before").ok());
  EXPECT_FALSE(FaultPoint("from.before").ok());
  EXPECT_FALSE(FaultPoint("from.before").ok());
  std::filesystem::remove(dir_.path("plan"));
  EXPECT_TRUE(FaultPoint("from.before").ok());
}

TEST_F(FaultPointTest, ACrashPointDoesNotFail) {
  Plan("fail crash.after 1\n");
  CrashPoint("crash.after");
  EXPECT_THAT(Trace(), testing::HasSubstr("crash.after 1 crash\n"));
}

TEST_F(FaultPointTest, HoldWaitsUntilTheFileIsGone) {
  Plan("hold held.before 1\n");
  std::jthread held([] { EXPECT_TRUE(FaultPoint("held.before").ok()); });
  ASSERT_TRUE(Appears("held.held.before"));
  EXPECT_EQ(test::ReadFile(dir_.path("held.held.before")),
            absl::StrCat(program_invocation_short_name, " ", getpid(), "\n"));
  EXPECT_TRUE(FaultPoint("held.before").ok()) << "the second hit is not held";
  std::filesystem::remove(dir_.path("held.held.before"));
  held.join();
  EXPECT_THAT(Trace(), testing::HasSubstr("held.before 1 fault hold\n"));
}

}  // namespace
}  // namespace vmkeep
