#include "common/error.h"
#include "controller/inventory/vm_index.h"
#include "tests/contract/store/sample_records.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/ascii.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

using test::Uuid;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::StatusIs;

VmRecord Vm(const std::string& uuid, const std::string& name, PowerState power = PowerState::kOn) {
  VmRecord vm;
  vm.uuid = uuid;
  vm.name = name;
  vm.power = power;
  return vm;
}

// "<uuid number> on <host>", or the error's reason.
std::string Resolve(const VmIndex& index, const std::string& spelling) {
  const absl::StatusOr<ResolvedVm> vm = index.Resolve(spelling);
  if (!vm.ok()) return ErrorReason(vm.status());
  return absl::StrCat(std::stoi(vm->vm.uuid.substr(24)), " on ", vm->vm.host_id);
}

TEST(ResolveVmTest, ByUuidInAnyCaseAndByName) {
  VmIndex index;
  const std::string uuid = "abcdef00-0000-4000-8000-000000000001";
  index.Replace("kvm-1", {Vm(absl::AsciiStrToUpper(uuid), "web")});
  EXPECT_EQ(Resolve(index, uuid), "1 on kvm-1");
  EXPECT_EQ(Resolve(index, absl::AsciiStrToUpper(uuid)), "1 on kvm-1");
  EXPECT_EQ(Resolve(index, "web"), "1 on kvm-1");
  EXPECT_EQ(Resolve(index, "WEB"), "VM_NOT_FOUND");  // names have a case
  EXPECT_EQ(Resolve(index, ""), "VM_NOT_FOUND");
  EXPECT_EQ(index.Resolve("web")->vm.uuid, uuid);
}

TEST(ResolveVmTest, AUuidGoesBeforeAName) {
  VmIndex index;
  index.Replace("kvm-1", {Vm(Uuid(1), "web"),
                          Vm(Uuid(2), Uuid(1))});  // somebody named a VM like another's UUID
  EXPECT_EQ(Resolve(index, Uuid(1)), "1 on kvm-1");
}

TEST(ResolveVmTest, ANameOfTwoVmsIsRefusedWithBoth) {
  VmIndex index;
  index.Replace("kvm-1", {Vm(Uuid(1), "web")});
  index.Replace("kvm-2", {Vm(Uuid(2), "web")});
  const absl::StatusOr<ResolvedVm> vm = index.Resolve("web");
  EXPECT_THAT(vm,
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("VM_AMBIGUOUS")));
  EXPECT_EQ(ErrorDetails(vm.status())["vm_uuids"], absl::StrCat(Uuid(1), ",", Uuid(2)));
}

// design: the same UUID on two hosts: the running one; both or none running: refused, with both
// host ids. A paused VM is the target of a migration while another host runs it.
TEST(ResolveVmTest, OneUuidOnTwoHostsIsWhereItRuns) {
  using enum PowerState;
  const std::map<std::pair<PowerState, PowerState>, std::string> expected = {
      {{kOn, kOff}, "1 on kvm-1"},        {{kOff, kOn}, "1 on kvm-2"},
      {{kOn, kPaused}, "1 on kvm-1"},     {{kPaused, kOff}, "1 on kvm-1"},
      {{kOn, kUnknown}, "1 on kvm-1"},    {{kOn, kOn}, "VM_AMBIGUOUS"},
      {{kOff, kOff}, "VM_AMBIGUOUS"},     {{kPaused, kPaused}, "VM_AMBIGUOUS"},
      {{kUnknown, kOff}, "VM_AMBIGUOUS"},
  };
  for (const auto& [powers, answer] : expected) {
    VmIndex index;
    index.Replace("kvm-1", {Vm(Uuid(1), "web", powers.first)});
    index.Replace("kvm-2", {Vm(Uuid(1), "web", powers.second)});
    EXPECT_EQ(Resolve(index, Uuid(1)), answer);
    EXPECT_EQ(Resolve(index, "web"), answer);
    const absl::StatusOr<ResolvedVm> vm = index.Resolve(Uuid(1));
    if (vm.ok()) {
      EXPECT_THAT(vm->candidates, ElementsAre("kvm-1", "kvm-2"));
    } else {
      EXPECT_EQ(ErrorDetails(vm.status())["host_ids"], "kvm-1,kvm-2");
    }
  }
}

TEST(ResolveVmTest, AReportReplacesTheLastOfThatHostOnly) {
  VmIndex index;
  index.Replace("kvm-1", {Vm(Uuid(1), "web"), Vm(Uuid(2), "db")});
  index.Replace("kvm-2", {Vm(Uuid(1), "web", PowerState::kOff)});
  index.Replace("kvm-1", {Vm(Uuid(2), "db-new")});
  EXPECT_EQ(Resolve(index, "web"), "1 on kvm-2");
  EXPECT_EQ(Resolve(index, "db"), "VM_NOT_FOUND");
  EXPECT_EQ(Resolve(index, "db-new"), "2 on kvm-1");
  index.Replace("kvm-1", {});
  index.Replace("kvm-2", {});
  EXPECT_THAT(index.List(), IsEmpty());
  EXPECT_EQ(Resolve(index, "web"), "VM_NOT_FOUND");
}

TEST(ResolveVmTest, AHostThatNamesAVmTwiceHasItOnce) {
  VmIndex index;
  index.Replace("kvm-1", {Vm(Uuid(1), "web"), Vm(Uuid(1), "again")});
  EXPECT_EQ(Resolve(index, "web"), "1 on kvm-1");
  EXPECT_EQ(index.List().size(), 1u);
  index.Replace("kvm-1", {});
  EXPECT_EQ(Resolve(index, "web"), "VM_NOT_FOUND");
}

TEST(ResolveVmTest, ListsEachUuidOnceAsTheHostThatRunsItReportsIt) {
  VmIndex index;
  index.Replace("kvm-1", {Vm(Uuid(2), "b"), Vm(Uuid(1), "a", PowerState::kOff)});
  index.Replace("kvm-2", {Vm(Uuid(1), "a")});
  const std::vector<ResolvedVm> vms = index.List();
  ASSERT_EQ(vms.size(), 2u);
  EXPECT_EQ(vms[0].vm.host_id, "kvm-2");
  EXPECT_THAT(vms[0].candidates, ElementsAre("kvm-1", "kvm-2"));
  EXPECT_EQ(vms[1].vm.uuid, Uuid(2));
}

}  // namespace
}  // namespace vmkeep::controller
