#include "executor/hypervisor/sim/sim_setup.h"

#include "common/uuid.h"
#include "executor/hypervisor/sim/sim_hypervisor.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::vmkeep::test::IsOk;

TEST(SimSetupTest, ListsOfVmsAreRead) {
  const auto vms = ParseSimVms("web-1:2:64MiB,db : a/../b:1:2GiB");
  ASSERT_THAT(vms, IsOk());
  ASSERT_THAT(*vms, SizeIs(2));
  EXPECT_EQ((*vms)[0].name, "web-1");
  EXPECT_EQ((*vms)[0].disks, 2);
  EXPECT_EQ((*vms)[0].disk_bytes, 64 << 20);
  EXPECT_EQ((*vms)[1].name, "db : a/../b") << "a name may be any";
  EXPECT_EQ((*vms)[1].disk_bytes, int64_t{2} << 30);
  EXPECT_THAT(ParseSimVms(""), IsOk());
}

TEST(SimSetupTest, WhatIsNoVmIsNamed) {
  for (const char* bad : {"a", "a:1", ":1:1MiB", "a:0:1MiB", "a:27:1MiB", "a:1:0", "a:1:x",
                          "a:1:99999999999999GiB", "a:-1:1MiB", ":", "::"}) {
    const auto vms = ParseSimVms(bad);
    EXPECT_EQ(vms.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(vms.status().message()), HasSubstr(bad));
  }
}

TEST(SimSetupTest, UuidsFollowFromNamesAndAreWellFormed) {
  EXPECT_TRUE(IsUuid(SimVmUuid("web-1")));
  EXPECT_EQ(SimVmUuid("web-1"), SimVmUuid("web-1"));
  EXPECT_NE(SimVmUuid("web-1"), SimVmUuid("web-2"));
  EXPECT_NE(SimVmUuid(""), SimVmUuid("a"));
}

TEST(SimSetupTest, SameNameHasTheSameContentAndIsMadeOnce) {
  vmkeep::test::TempDir folders[2];
  std::string disks[2];
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(CreateSimVm(folders[i].path(), {"web-1", 1, 4 << 20}), IsOk());
    disks[i] = folders[i].path(SimVmUuid("web-1") + "/vda.raw");
  }
  EXPECT_TRUE(vmkeep::test::ReadFile(disks[0]) == vmkeep::test::ReadFile(disks[1]));
  EXPECT_EQ(vmkeep::test::ReadFile(disks[0]).size(), 4u << 20);
  ASSERT_TRUE(vmkeep::test::WriteFile(disks[0], "changed"));
  ASSERT_THAT(CreateSimVm(folders[0].path(), {"web-1", 1, 4 << 20}), IsOk());
  EXPECT_EQ(vmkeep::test::ReadFile(disks[0]), "changed") << "a VM that is there stays as it is";
}

TEST(SimSetupTest, DiskWithHolesReportsLessData) {
  vmkeep::test::TempDir folder;
  ASSERT_THAT(CreateSimVm(folder.path(), {"web-1", 1, 64 << 20}), IsOk());
  SimHypervisor sim(folder.path());
  const auto vm = sim.Describe(SimVmUuid("web-1"));
  ASSERT_THAT(vm, IsOk());
  EXPECT_EQ(vm->disks[0].virtual_bytes, 64 << 20);
  EXPECT_LT(vm->disks[0].data_bytes, 16 << 20);
  EXPECT_GT(vm->disks[0].data_bytes, 4 << 20);
}

}  // namespace
}  // namespace vmkeep::executor
