#include "common/fault_point/fault_point.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace vmkeep {
namespace {

static_assert(!kFaultPoints);

TEST(NoFaultPointTest, APointIsOkAndLeavesNoTrace) {
  const std::string folder = testing::TempDir();
  setenv("VMKEEP_FAULT_DIR", folder.c_str(), 1);
  EXPECT_TRUE(FaultPoint("test.write.before").ok());
  CrashPoint("test.write.after");
  EXPECT_FALSE(std::filesystem::exists(folder + "/trace"));
  EXPECT_EQ(kFaultPointsNote, "");
}

}  // namespace
}  // namespace vmkeep
