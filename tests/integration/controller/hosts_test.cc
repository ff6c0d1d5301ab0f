#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class HostsTest : public ControllerTest {
 protected:
  template <typename Response, typename Request, typename Method>
  absl::StatusOr<Response> Call(Method method, const Request& request) {
    return Do<Response>([&](auto* context, auto* response) {
      return (inventory_.get()->*method)(context, request, response);
    });
  }
  absl::StatusOr<pb::Host> UpdateHost(const pb::UpdateHostRequest& request) {
    return Call<pb::Host>(&pb::InventoryService::Stub::UpdateHost, request);
  }
  static pb::UpdateHostRequest Draining(const std::string& id, bool draining) {
    pb::UpdateHostRequest request;
    request.set_id(id);
    request.set_draining(draining);
    return request;
  }
  absl::StatusOr<pb::Vm> RegisterVm(const std::string& id, const std::string& uuid) {
    pb::RegisterVmRequest request;
    request.set_id(id);
    request.set_uuid(uuid);
    return Call<pb::Vm>(&pb::InventoryService::Stub::RegisterVm, request);
  }
  absl::StatusOr<pb::Vm> GetVm(const std::string& id) {
    pb::GetVmRequest request;
    request.set_id(id);
    return Call<pb::Vm>(&pb::InventoryService::Stub::GetVm, request);
  }
  pb::Host HostNow(const std::string& id) {
    pb::GetHostRequest request;
    request.set_id(id);
    return *Call<pb::Host>(&pb::InventoryService::Stub::GetHost, request);
  }
};

TEST_F(HostsTest, ARegisteredHostIsReachedAndKnown) {
  AddHost("kvm-1", {"web-1"});
  const pb::Host host = HostNow("kvm-1");
  EXPECT_EQ(host.executor_id(), "executor-of-kvm-1");
  EXPECT_EQ(host.hypervisor(), "sim");
  EXPECT_TRUE(host.simulated());
  EXPECT_TRUE(host.has_last_seen_time());
  // Repeating it changes nothing.
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Host again, Register("kvm-1", "unix:/fake/kvm-1"));
  EXPECT_EQ(again.executor_id(), "executor-of-kvm-1");
}

TEST_F(HostsTest, AnAddressThatIsNotSafeIsRefused) {
  EXPECT_THAT(
      Register("kvm-9", "10.0.0.9:7000"),
      AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("INSECURE_LISTENER")));
  EXPECT_THAT(Register("kvm-9", "nonsense"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Register("KVM 9", ""), StatusIs(absl::StatusCode::kInvalidArgument,
                                              AllOf(HasSubstr("id"), HasSubstr("address"))));
  pb::GetHostRequest request;
  request.set_id("kvm-9");
  EXPECT_THAT(Call<pb::Host>(&pb::InventoryService::Stub::GetHost, request),
              HasReason("HOST_NOT_FOUND"));
}

TEST_F(HostsTest, AHostThatNeverAnsweredSaysWhy) {
  EXPECT_THAT(Register("kvm-1", "unix:/fake/kvm-1"), IsOk());
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  EXPECT_THAT(HostNow("kvm-1").message(), HasSubstr("nobody listens"));
}

// libvirtd is down, and the executor is not.
TEST_F(HostsTest, AHypervisorThatDoesNotAnswerIsSaidOfTheHost) {
  AddHost("kvm-1", {"web-1"});
  EXPECT_EQ(HostNow("kvm-1").message(), "");
  host("kvm-1").FailInventory(absl::UnavailableError("the hypervisor does not answer: gone"));
  AwaitTrue([this] { return !HostNow("kvm-1").message().empty(); }, "the message is there");
  const pb::Host seen = HostNow("kvm-1");
  EXPECT_EQ(seen.availability(), pb::Host::ONLINE);
  EXPECT_THAT(seen.message(), AllOf(HasSubstr("cannot be listed"), HasSubstr("gone")));
  host("kvm-1").FailInventory(absl::OkStatus());
  AwaitTrue([this] { return HostNow("kvm-1").message().empty(); }, "the message is gone");
}

TEST_F(HostsTest, ANewAddressIsDialledAndTheExecutorStaysPinned) {
  AddHost("kvm-1");
  const auto executor = host("kvm-1").shared_from_this();
  Replace("kvm-1b", executor);
  EXPECT_THAT(Register("kvm-1", "unix:/fake/kvm-1b"), IsOk());
  const int before = executor->connections();
  AwaitTrue([&] { return executor->connections() >= before; }, "dialled");
  AwaitHost("kvm-1", pb::Host::ONLINE);
  EXPECT_EQ(HostNow("kvm-1").address(), "unix:/fake/kvm-1b");
}

TEST_F(HostsTest, AnotherExecutorAtTheAddressIsRefusedUntilThePinnedOneIsBack) {
  AddHost("kvm-1", {"web-1"});
  host("kvm-1").SetExecutorId("somebody-else");
  host("kvm-1").BreakStream();
  AwaitHost("kvm-1", pb::Host::REFUSED);
  EXPECT_THAT(HostNow("kvm-1").message(), HasSubstr("somebody-else"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  AwaitCondition(created.id(), "HOST_UNREACHABLE");
  EXPECT_EQ(host("kvm-1").accepted(), 0);
  host("kvm-1").SetExecutorId("executor-of-kvm-1");
  AwaitState(created.id(), pb::Backup::RUNNING);
}

TEST_F(HostsTest, AReplacedExecutorWorksOnceItIsConfirmed) {
  AddHost("kvm-1", {"web-1"});
  AddHost("kvm-2");
  host("kvm-1").SetExecutorId("00000000-0000-4000-8000-0000000000aa");
  host("kvm-1").BreakStream();
  AwaitHost("kvm-1", pb::Host::REFUSED);
  pb::UpdateHostRequest request;
  request.set_id("kvm-1");
  request.set_executor_id("nonsense");
  EXPECT_THAT(UpdateHost(request), StatusIs(absl::StatusCode::kInvalidArgument));
  // Only what was refused, and as a person copies it from the message.
  request.set_executor_id("00000000-0000-4000-8000-0000000000bb");
  EXPECT_THAT(UpdateHost(request), HasReason("EXECUTOR_NOT_SEEN"));
  request.set_executor_id("00000000-0000-4000-8000-0000000000AA");
  EXPECT_THAT(UpdateHost(request), IsOk());
  AwaitHost("kvm-1", pb::Host::ONLINE);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  AwaitState(created.id(), pb::Backup::RUNNING);
  // Not while it is ONLINE: nothing was refused.
  request.set_executor_id("00000000-0000-4000-8000-0000000000bb");
  EXPECT_THAT(UpdateHost(request), HasReason("EXECUTOR_NOT_SEEN"));
  AwaitHost("kvm-1", pb::Host::ONLINE);
  // One executor is one host.
  request.set_executor_id("00000000-0000-4000-8000-0000000000aa");
  request.set_id("kvm-2");
  EXPECT_THAT(UpdateHost(request), HasReason("EXECUTOR_TAKEN"));
}

TEST_F(HostsTest, AnExecutorOfAnotherProtocolIsRefusedInWordsUntilItIsBroughtUpToDate) {
  AddHost("kvm-1", {"web-1"});
  const auto speak = [&](int protocol) {
    host("kvm-1").SetProtocol(protocol);
    host("kvm-1").BreakStream();
  };
  speak(kProtocolMin - 1);
  AwaitHost("kvm-1", pb::Host::REFUSED);
  EXPECT_THAT(HostNow("kvm-1").message(),
              AllOf(HasSubstr("protocol 0"), HasSubstr("bring vmkeep-executor")));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  const pb::Backup waiting = AwaitCondition(created.id(), "HOST_UNREACHABLE");
  EXPECT_THAT(waiting.conditions(0).message(), HasSubstr("bring vmkeep-executor"));
  EXPECT_EQ(host("kvm-1").accepted(), 0);
  speak(kProtocolMax);
  AwaitState(created.id(), pb::Backup::RUNNING);
  speak(kProtocolMax + 1);
  AwaitHost("kvm-1", pb::Host::REFUSED);
  EXPECT_THAT(HostNow("kvm-1").message(), HasSubstr("bring vmkeep-controller"));
}

// Red when only a new connection counts, and when it is not written.
TEST_F(HostsTest, LastSeenMovesWithEveryWordOfTheExecutorAndOutlivesTheController) {
  AddHost("kvm-1", {"web-1"}).FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup backup, Create("web-1", "nightly"));
  AwaitState(backup.id(), pb::Backup::BUILDING);
  const auto seen = [&] {
    const google::protobuf::Timestamp time = HostNow("kvm-1").last_seen_time();
    return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  };
  const absl::Time before = seen();
  const int connections = host("kvm-1").connections();
  AwaitTrue(
      [&] {
        host("kvm-1").ReportProgress(backup.id(), 1);
        return seen() > before;
      },
      "it moves");
  EXPECT_EQ(host("kvm-1").connections(), connections);
  host("kvm-1").SetReachable(false);
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  const absl::Time last = seen();
  StopController();
  StartController();
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  EXPECT_EQ(seen(), last);
}

TEST_F(HostsTest, ADrainingHostEndsItsWorkAndTakesNoNewAlsoAfterARestart) {
  AddHost("kvm-1", {"web-1", "web-2"}).FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup running, Create("web-1", "nightly"));
  AwaitState(running.id(), pb::Backup::BUILDING);
  EXPECT_THAT(UpdateHost(Draining("kvm-1", true)), IsOk());
  EXPECT_TRUE(HostNow("kvm-1").draining());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup waiting, Create("web-2", "nightly"));
  AwaitCondition(waiting.id(), "HOST_DRAINING");
  EXPECT_TRUE(host("kvm-1").Finish(running.id()));
  AwaitState(running.id(), pb::Backup::RUNNING);
  StopController();
  StartController();
  AwaitCondition(waiting.id(), "HOST_DRAINING");
  EXPECT_EQ(host("kvm-1").accepted(), 1);
  host("kvm-1").FinishAtOnce(true);
  EXPECT_THAT(UpdateHost(Draining("kvm-1", false)), IsOk());
  EXPECT_FALSE(HasCondition(AwaitState(waiting.id(), pb::Backup::RUNNING), "HOST_DRAINING"));
}

TEST_F(HostsTest, AnUpdateThatChangesNothingOrTooMuchIsRefused) {
  AddHost("kvm-1");
  pb::UpdateHostRequest request;
  request.set_id("kvm-1");
  EXPECT_THAT(UpdateHost(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.mutable_update_mask()->add_paths("address");
  EXPECT_THAT(UpdateHost(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("address")));
  EXPECT_THAT(UpdateHost(Draining("nobody", true)), HasReason("HOST_NOT_FOUND"));
}

TEST_F(HostsTest, AHostIsForgottenWhenNothingNeedsItAnyMore) {
  AddHost("kvm-1", {"web-1"});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup backup, Create("web-1", "nightly"));
  AwaitState(backup.id(), pb::Backup::RUNNING);
  pb::DeleteHostRequest request;
  request.set_id("kvm-1");
  const auto remove = [&] {
    return Call<google::protobuf::Empty>(&pb::InventoryService::Stub::DeleteHost, request).status();
  };
  EXPECT_THAT(remove(),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("HOST_IN_USE")));
  EXPECT_THAT(Scrub(backup.id()), IsOk());
  AwaitState(backup.id(), pb::Backup::CLOSED);
  EXPECT_THAT(remove(), IsOk());
  EXPECT_THAT(remove(), HasReason("HOST_NOT_FOUND"));
  EXPECT_THAT(Create("web-1", "again"), HasReason("VM_NOT_FOUND"));
  EXPECT_THAT(Get(backup.id()), IsOk()) << "the record stays for audit";
  StopController();
  StartController();
  EXPECT_THAT(remove(), HasReason("HOST_NOT_FOUND"));
  // Registered again it is a new host: whoever answers is pinned.
  host("kvm-1").SetExecutorId("another");
  EXPECT_THAT(Register("kvm-1", "unix:/fake/kvm-1"), IsOk());
  AwaitHost("kvm-1", pb::Host::ONLINE);
  EXPECT_EQ(HostNow("kvm-1").executor_id(), "another");
}

TEST_F(HostsTest, ARegisteredVmIsFoundByItsIdItsUuidAndItsName) {
  AddHost("kvm-1", {"web-1", "web-2"});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup before, Create("web-1", "before"));
  AwaitState(before.id(), pb::Backup::RUNNING);
  for (int twice = 0; twice < 2; ++twice) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Vm vm, RegisterVm("shop-frontend", VmUuid("web-1")));
    EXPECT_EQ(vm.id(), "shop-frontend");
    EXPECT_EQ(vm.name(), "web-1");
  }
  EXPECT_THAT(RegisterVm("shop-frontend", VmUuid("web-2")), HasReason("VM_REGISTERED"));
  EXPECT_THAT(RegisterVm("other", VmUuid("web-1")), HasReason("VM_REGISTERED"));
  EXPECT_THAT(RegisterVm(VmUuid("web-2"), VmUuid("web-1")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  StopController();
  StartController();
  AwaitVm("web-1");
  for (const std::string& spelling :
       {std::string("shop-frontend"), VmUuid("web-1"), std::string("web-1")}) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Vm vm, GetVm(spelling));
    EXPECT_EQ(vm.id(), "shop-frontend") << spelling;
    EXPECT_EQ(vm.uuid(), VmUuid("web-1")) << spelling;
  }
  EXPECT_EQ(GetVm("web-2")->id(), VmUuid("web-2"));
  EXPECT_THAT(GetVm("nobody"), HasReason("VM_NOT_FOUND"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup after, Create("shop-frontend", "after"));
  EXPECT_EQ(after.vm_id(), "shop-frontend");
  EXPECT_EQ(after.vm_uuid(), VmUuid("web-1"));
  EXPECT_EQ(after.vm_name(), "web-1");
  pb::ListBackupsRequest list;
  list.mutable_filter()->add_vm_ids("shop-frontend");
  EXPECT_EQ(List(list)->backups_size(), 2) << "also the one of before";
}

TEST_F(HostsTest, AVmMayBeRegisteredBeforeAnyHostReportsIt) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Vm vm, RegisterVm("early", VmUuid("web-1")));
  EXPECT_EQ(vm.uuid(), VmUuid("web-1"));
  EXPECT_EQ(vm.host_id(), "");
  EXPECT_THAT(GetVm("early"), HasReason("VM_NOT_FOUND"));
  AddHost("kvm-1", {"web-1"});
  EXPECT_EQ(GetVm("early")->host_id(), "kvm-1");
}

TEST_F(HostsTest, VmsOnAnOverlayAreListedAlone) {
  AddHost("kvm-1", {"web-1", "web-2"});
  controller::Overlay overlay;
  overlay.since = absl::FromUnixSeconds(1'700'000'000);
  overlay.bytes = 4096;
  overlay.files = {"/vm/web-2.raw.vmkeep-t.qcow2"};
  host("kvm-1").SetOverlay(VmUuid("web-2"), overlay);
  pb::ListVmsRequest request;
  request.set_on_overlay(true);
  AwaitTrue(
      [&] {
        return Call<pb::ListVmsResponse>(&pb::InventoryService::Stub::ListVms, request)
                   ->vms_size() == 1;
      },
      "the overlay is known");
  const pb::Vm vm = *GetVm("web-2");
  EXPECT_EQ(vm.overlay().bytes(), 4096);
  EXPECT_EQ(vm.overlay().since().seconds(), 1'700'000'000);
  EXPECT_FALSE(GetVm("web-1")->has_overlay());
}

TEST_F(HostsTest, AStreamWithoutASignOfLifeIsDead) {
  links_.silence = absl::Milliseconds(150);
  StopController();
  StartController();
  AddHost("kvm-1");
  host("kvm-1").SetSilent(true);
  const int before = host("kvm-1").connections();
  AwaitTrue([&] { return host("kvm-1").connections() >= before + 2; }, "dialled again");
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  EXPECT_THAT(HostNow("kvm-1").message(), HasSubstr("no sign of life"));
}

TEST_F(HostsTest, VmsComeInPagesWithTheBackupThatIsUnderWay) {
  std::vector<std::string> names;
  names.reserve(7);
  for (int i = 0; i < 7; ++i) names.push_back(absl::StrCat("vm-", i));
  AddHost("kvm-1", names).FinishAtOnce(false);
  AddHost("kvm-2", {"other"});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup backup, Create("vm-3", "nightly"));
  pb::ListVmsRequest request;
  request.add_host_ids("kvm-1");
  request.set_page_size(3);
  std::vector<int> sizes;
  int under_way = 0;
  do {
    VMKEEP_ASSERT_OK_AND_ASSIGN(
        const auto page, Call<pb::ListVmsResponse>(&pb::InventoryService::Stub::ListVms, request));
    sizes.push_back(page.vms_size());
    for (const pb::Vm& vm : page.vms()) {
      EXPECT_EQ(vm.host_id(), "kvm-1");
      EXPECT_EQ(vm.unfinished_backup_id(), vm.name() == "vm-3" ? backup.id() : "");
      under_way += vm.unfinished_backup_id().empty() ? 0 : 1;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && sizes.size() < 9);
  EXPECT_THAT(sizes, ElementsAre(3, 3, 1));
  EXPECT_EQ(under_way, 1);
  pb::ListVmsRequest other;
  other.set_page_size(3);
  const auto first = Call<pb::ListVmsResponse>(&pb::InventoryService::Stub::ListVms, other);
  other.set_page_token(first->next_page_token());
  other.add_host_ids("kvm-2");
  EXPECT_THAT(Call<pb::ListVmsResponse>(&pb::InventoryService::Stub::ListVms, other),
              HasReason("BAD_PAGE_TOKEN"));
}

TEST_F(HostsTest, HostsComeInPages) {
  for (int i = 0; i < 5; ++i) AddHost(absl::StrCat("kvm-", i));
  pb::ListHostsRequest request;
  request.set_page_size(3);
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      auto page, Call<pb::ListHostsResponse>(&pb::InventoryService::Stub::ListHosts, request));
  EXPECT_THAT(page.hosts(), SizeIs(3));
  request.set_page_token(page.next_page_token());
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      page, Call<pb::ListHostsResponse>(&pb::InventoryService::Stub::ListHosts, request));
  EXPECT_THAT(page.hosts(), SizeIs(2));
  EXPECT_EQ(page.hosts(1).id(), "kvm-4");
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(HostsTest, ReservedBytesAreThoseOfBackupsUnderWay) {
  AddHost("kvm-1", {"web-1"});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "first"));
  AwaitState(first.id(), pb::Backup::RUNNING);
  host("kvm-1").FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup second, Create("web-1", "second"));
  AwaitState(second.id(), pb::Backup::BUILDING);
  const pb::ListRepositoriesRequest request;
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const auto all,
      Call<pb::ListRepositoriesResponse>(&pb::InventoryService::Stub::ListRepositories, request));
  ASSERT_THAT(all.repositories(), SizeIs(2));
  EXPECT_EQ(all.repositories(0).reserved_bytes(), 1 << 20) << "what the VM's last backup took";
  EXPECT_EQ(all.repositories(1).reserved_bytes(), 0);
}

TEST_F(HostsTest, InitRepositoryOfAnUnreachableHostIsUnavailable) {
  AddHost("kvm-1");
  host("kvm-1").SetReachable(false);
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  pb::InitRepositoryRequest request;
  request.set_host_id("kvm-1");
  request.set_slot(1);
  EXPECT_THAT(Call<pb::Repository>(&pb::InventoryService::Stub::InitRepository, request),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("HOST_UNREACHABLE")));
  request.set_host_id("nobody");
  EXPECT_THAT(Call<pb::Repository>(&pb::InventoryService::Stub::InitRepository, request),
              HasReason("HOST_NOT_FOUND"));
}

TEST_F(HostsTest, AVmOnTwoHostsIsRefusedUntilOneRunsIt) {
  AddHost("kvm-1", {"web-1"});
  AddHost("kvm-2", {"web-1"});
  const absl::Status refused = Create("web-1", "nightly").status();
  EXPECT_THAT(refused, HasReason("VM_AMBIGUOUS"));
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("kvm-1"), HasSubstr("kvm-2")));
}

}  // namespace
}  // namespace vmkeep::test
