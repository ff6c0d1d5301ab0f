#include "tests/contract/store/store_contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <string>
#include <vector>

namespace vmkeep::controller::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;
using vmkeep::test::StatusIs;

// Every field with a value that is not its default.
BackupRecord FullRecord() {
  BackupRecord record = MakeRecord(1);
  record.vm_id = "web-1";
  record.state = BackupState::kUnresourced;
  record.failure = Failure{"COPY_FAILED",
                           "read error 'at' \"offset\" 5; -- \x01",
                           "COPYING",
                           true,
                           At(9) + absl::Nanoseconds(7),
                           {{"offset", "5"}, {"", std::string("a\0b", 3)}}};
  record.labels = {{"tier", "gold"}, {"ünï", "✓"}, {"empty", ""}};
  record.quiesce = Quiesce::kRequired;
  record.requested_repository = 2;
  record.repository = 1;
  record.repository_id = Uuid(77);
  record.placement_reason = "it was there";
  record.left_repositories = {{Uuid(79), "moved away, and why"}, {Uuid(75), "and before"}};
  record.reserved_bytes = int64_t{5} << 40;
  record.simulated = true;
  record.epoch = 3;
  record.task_id = Uuid(78);
  record.task_open = true;
  record.task_is_scrub = true;
  record.attempts = 2;
  record.files_may_exist = true;
  record.vm_on_overlay = true;
  record.time_valid = At(5) + absl::Nanoseconds(1);
  record.consistency = Consistency::kApplication;
  record.virtual_bytes = int64_t{1} << 50;
  record.data_bytes = 12;
  record.stored_bytes = 13;
  record.manifest_sha256 = "abc";
  record.excluded_disks = {{"sdb", "LUN"}, {"sda", "CDROM"}, {"sda", "EMPTY"}};
  record.scrub_level = "REMOVED";
  record.request_id = "r-1";
  record.request_digest = "d-1";
  return record;
}

TEST_P(StoreContract, KeepsEveryFieldOverARestart) {
  const BackupRecord stored = Put(FullRecord());
  BackupRecord expected = FullRecord();
  expected.revision = 1;
  expected.update_time = clock_.Now();
  EXPECT_EQ(stored, expected);
  EXPECT_THAT(Get(stored.id), Optional(Eq(expected)));
  Reopen();
  EXPECT_THAT(Get(stored.id), Optional(Eq(expected)));
}

TEST_P(StoreContract, ReplacingLeavesNothingOfTheOld) {
  Put(FullRecord());
  BackupRecord plain = FullRecord();
  plain.failure.reset();
  plain.labels.clear();
  plain.excluded_disks.clear();
  plain.time_valid.reset();
  clock_.Advance(absl::Seconds(3));
  const BackupRecord stored = Put(plain);
  EXPECT_EQ(stored.revision, 2);
  EXPECT_EQ(stored.update_time, clock_.Now());
  EXPECT_THAT(Get(plain.id), Optional(Eq(stored)));
}

TEST_P(StoreContract, WhoAskedAndForWhatNeverChanges) {
  const BackupRecord stored = Put(FullRecord());
  BackupRecord other = stored;
  other.project = "theirs";
  other.vm_uuid = Uuid(5);
  other.create_time += absl::Seconds(1);
  other.created_by = "mallory";
  const BackupRecord answered = Put(other);
  BackupRecord expected = stored;
  expected.revision = 2;
  EXPECT_EQ(answered, expected);
  EXPECT_THAT(Get(stored.id), Optional(Eq(expected)));
}

TEST_P(StoreContract, AnotherProjectSeesNothing) {
  const BackupRecord stored = Put(FullRecord());
  EXPECT_THAT(View([&](StoreView& view) { return view.Get("theirs", stored.id); }),
              IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(View([&](StoreView& view) { return view.Get(kAnyProject, stored.id); }),
              IsOkAndHolds(Optional(Eq(stored))));
  EXPECT_THAT(View([&](StoreView& view) { return view.FindByRequest("theirs", "alice", "r-1"); }),
              IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(View([&](StoreView& view) { return view.ChangedSince("theirs", 0, 10); }),
              IsOkAndHolds(IsEmpty()));
  BackupQuery query = LocalQuery();
  query.project = "theirs";
  EXPECT_THAT(List(query), IsEmpty());
}

TEST_P(StoreContract, CountsTheRecordsOfAllProjectsByState) {
  int number = 0;
  for (const auto& [state, count] : std::map<BackupState, int>{
           {BackupState::kRequested, 1}, {BackupState::kRunning, 3}, {BackupState::kClosed, 2}}) {
    for (int i = 0; i < count; ++i) {
      BackupRecord record = MakeRecord(++number);
      record.project = i == 0 ? "local" : "theirs";
      record.state = state;
      Put(record);
    }
  }
  EXPECT_THAT(View([](StoreView& view) { return view.CountByState(); }),
              IsOkAndHolds(UnorderedElementsAre(Pair(BackupState::kRequested, 1),
                                                Pair(BackupState::kRunning, 3),
                                                Pair(BackupState::kClosed, 2))));
}

TEST_P(StoreContract, FindsByRequest) {
  const BackupRecord stored = Put(FullRecord());
  Put(MakeRecord(2));  // without a request_id
  EXPECT_THAT(View([&](StoreView& view) { return view.FindByRequest("local", "alice", "r-1"); }),
              IsOkAndHolds(Optional(Eq(stored))));
  EXPECT_THAT(View([&](StoreView& view) { return view.FindByRequest("local", "bob", "r-1"); }),
              IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(View([&](StoreView& view) { return view.FindByRequest("local", "alice", ""); }),
              IsOkAndHolds(Eq(std::nullopt)));
}

TEST_P(StoreContract, FindsTheVmsUnfinishedBackup) {
  BackupRecord record = MakeRecord(1);
  const auto found = [&] {
    return View([&](StoreView& view) { return view.FindUnfinished(record.vm_uuid); })
        .value_or(std::nullopt)
        .has_value();
  };
  EXPECT_FALSE(found());
  const std::map<BackupState, bool> expected = {
      {BackupState::kRequested, true},    {BackupState::kBuilding, true},
      {BackupState::kUnresourced, false}, {BackupState::kRunning, false},
      {BackupState::kScrub, false},       {BackupState::kScrubbing, false},
      {BackupState::kClosed, false}};
  for (const auto& [state, unfinished] : expected) {
    record.state = state;
    Put(record);
    EXPECT_EQ(found(), unfinished) << StateName(state);
  }
  record.state = BackupState::kScrub;  // cancelled, and the host has not ended it yet
  record.task_open = true;
  Put(record);
  EXPECT_TRUE(found());
}

TEST_P(StoreContract, RefusesASecondOfWhatMustBeUnique) {
  const BackupRecord first = Put(FullRecord());
  BackupRecord named = MakeRecord(2);
  named.vm_uuid = first.vm_uuid;
  named.name = first.name;
  EXPECT_THAT(PutNow(*store_, named),
              AllOf(StatusIs(absl::StatusCode::kAlreadyExists), HasReason("NAME_TAKEN")));
  BackupRecord requested = MakeRecord(3);
  requested.request_id = first.request_id;
  EXPECT_THAT(PutNow(*store_, requested), HasReason("REQUEST_ID_REUSED"));
  const BackupRecord working = Put(MakeRecord(4));
  BackupRecord second = MakeRecord(5);
  second.vm_uuid = working.vm_uuid;
  EXPECT_THAT(PutNow(*store_, second), HasReason("UNFINISHED_BACKUP"));

  BackupRecord closed = first;  // frees its name
  closed.state = BackupState::kClosed;
  Put(closed);
  EXPECT_THAT(PutNow(*store_, named), IsOk());
  EXPECT_THAT(
      View([&](StoreView& view) { return view.FindByName("local", first.vm_uuid, first.name); }),
      IsOkAndHolds(Optional(testing::Field(&BackupRecord::id, named.id))));
}

TEST_P(StoreContract, PagesInBothOrdersWithoutGapOrRepeat) {
  for (int i = 0; i < 7; ++i) {
    BackupRecord record = MakeRecord(i);
    record.create_time = At(i / 2);  // pairs with one time
    Put(record);
  }
  for (const bool oldest_first : {false, true}) {
    BackupQuery query = LocalQuery();
    query.oldest_first = oldest_first;
    query.limit = 2;
    std::vector<BackupId> seen;
    while (true) {
      auto page = View([&](StoreView& view) { return view.List(query); });
      ASSERT_THAT(page, IsOk());
      if (page->empty()) break;
      ASSERT_LE(page->size(), 2u);
      for (const BackupRecord& record : *page) seen.push_back(record.id);
      query.after = PagePosition{page->back().create_time, page->back().id};
    }
    std::vector<BackupId> expected;
    expected.reserve(7);
    for (int i = 0; i < 7; ++i) expected.push_back(Uuid(oldest_first ? i : 6 - i));
    EXPECT_EQ(seen, expected);
  }
}

TEST_P(StoreContract, SaysWhatChangedInItsOrder) {
  for (int i = 1; i <= 4; ++i) Put(MakeRecord(i));
  BackupRecord again = MakeRecord(2);
  again.state = BackupState::kClosed;
  Put(again);  // revision 5
  const auto changed = [&](int64_t revision, int limit) {
    return Ids(View([&](StoreView& view) {
                 return view.ChangedSince("local", revision, limit);
               }).value_or(Records()));
  };
  EXPECT_THAT(changed(0, 10), ElementsAre(Uuid(1), Uuid(3), Uuid(4), Uuid(2)));
  EXPECT_THAT(changed(0, 2), ElementsAre(Uuid(1), Uuid(3)));
  EXPECT_THAT(changed(4, 10), ElementsAre(Uuid(2)));
  EXPECT_THAT(changed(5, 10), IsEmpty());
  BackupQuery query = LocalQuery();
  query.changed_after = 1;
  EXPECT_THAT(List(query),
              ElementsAre(Uuid(3), Uuid(4)));  // with the filter: without the CLOSED one
}

TEST_P(StoreContract, ListsOpenRecordsOfAllProjectsOldestFirst) {
  int number = 9;
  for (const BackupState state : kAllStates) {
    BackupRecord record = MakeRecord(number--);
    record.state = state;
    record.project = absl::StrCat("project ", number);
    Put(record);
  }
  // Of REQUESTED 9, BUILDING 8, UNRESOURCED 7, RUNNING 6, SCRUB 5, SCRUBBING 4, CLOSED 3.
  EXPECT_THAT(Ids(View([](StoreView& view) { return view.ListOpen(); }).value_or(Records())),
              ElementsAre(Uuid(4), Uuid(5), Uuid(8), Uuid(9)));
}

TEST_P(StoreContract, KeepsTheInventory) {
  const HostRecord host{"kvm-1", "unix:/run/x", Uuid(1), "host.example", "libvirt", "0.1",
                        true,    true,          7};
  const VmRecord vm{
      Uuid(2), "web", "kvm-1", PowerState::kPaused,
      Overlay{At(1), 5, Uuid(3), {"/b", "/a"}, true, "merge it", "MERGE_FAILED", "no space", true}};
  const VmRecord plain{Uuid(1), "db", "kvm-1", PowerState::kOff, std::nullopt};
  const RepositoryRecord repository{Uuid(4), "kvm-1",      1,      "/mnt/backup-p", 10,
                                    5,       Health::kIll, "slow", "nfs4 nas:/p",   At(2)};
  const auto put = [&](const std::vector<VmRecord>& vms,
                       const std::vector<RepositoryRecord>& repositories) {
    return CommitAndWait(*store_, [&](StoreTransaction& transaction) -> absl::StatusOr<Records> {
      VMKEEP_RETURN_IF_ERROR(transaction.PutHost(host));
      VMKEEP_RETURN_IF_ERROR(transaction.PutVms("kvm-1", vms));
      VMKEEP_RETURN_IF_ERROR(
          transaction.PutVms("kvm-2", {{Uuid(2), "web", "kvm-2", PowerState::kOff, {}}}));
      VMKEEP_RETURN_IF_ERROR(transaction.PutRepositories("kvm-1", repositories));
      return Records();
    });
  };
  ASSERT_THAT(put({vm, plain}, {repository}), IsOk());
  Reopen();
  const VmRecord elsewhere{Uuid(2), "web", "kvm-2", PowerState::kOff, std::nullopt};
  EXPECT_THAT(View([](StoreView& view) { return view.ListHosts(); }),
              IsOkAndHolds(ElementsAre(host)));
  EXPECT_THAT(View([](StoreView& view) { return view.ListVms(); }),
              IsOkAndHolds(ElementsAre(plain, vm, elsewhere)));
  EXPECT_THAT(View([](StoreView& view) { return view.ListRepositories(); }),
              IsOkAndHolds(ElementsAre(repository)));
  ASSERT_THAT(put({plain}, {}), IsOk());
  EXPECT_THAT(View([](StoreView& view) { return view.ListVms(); }),
              IsOkAndHolds(ElementsAre(plain, elsewhere)));
  EXPECT_THAT(View([](StoreView& view) { return view.ListRepositories(); }),
              IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContract, WhenAHostWasLastSeenIsWrittenByItself) {
  HostRecord host = MakeHost("kvm-1");
  host.last_seen = At(1);
  const auto change = [&](BackupStore::Mutation mutation) {
    EXPECT_THAT(CommitAndWait(*store_, std::move(mutation)), IsOk());
  };
  const auto put_host = [&](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    VMKEEP_RETURN_IF_ERROR(transaction.PutHost(host));
    return Records();
  };
  const auto seen = [&] {
    return View([](StoreView& view) { return view.GetHost("kvm-1"); }).value().value().last_seen;
  };
  change(put_host);
  EXPECT_EQ(seen(), std::nullopt);
  change([](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    VMKEEP_RETURN_IF_ERROR(transaction.PutLastSeen("kvm-1", At(5) + absl::Nanoseconds(1)));
    VMKEEP_RETURN_IF_ERROR(transaction.PutLastSeen("nowhere", At(5)));
    return Records();
  });
  change(put_host);
  Reopen();
  EXPECT_EQ(seen(), At(5) + absl::Nanoseconds(1));
  EXPECT_THAT(View([](StoreView& view) { return view.GetHost("nowhere"); }),
              IsOkAndHolds(Eq(std::nullopt)));
}

TEST_P(StoreContract, ADeletedHostTakesItsVmsAndRepositoriesAlong) {
  const auto change = [&](BackupStore::Mutation mutation) {
    EXPECT_THAT(CommitAndWait(*store_, std::move(mutation)), IsOk());
  };
  change([](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    for (const HostId host : {"kvm-1", "kvm-2"}) {
      VMKEEP_RETURN_IF_ERROR(transaction.PutHost(MakeHost(host)));
      VMKEEP_RETURN_IF_ERROR(
          transaction.PutVms(host, {{Uuid(2), "web", host, PowerState::kOff, {}}}));
      RepositoryRecord repository;
      repository.host_id = host;
      repository.slot = 1;
      VMKEEP_RETURN_IF_ERROR(transaction.PutRepositories(host, {repository}));
    }
    return Records();
  });
  change([](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    VMKEEP_RETURN_IF_ERROR(transaction.DeleteHost("kvm-1"));
    VMKEEP_RETURN_IF_ERROR(transaction.DeleteHost("nobody"));
    return Records();
  });
  Reopen();
  EXPECT_EQ(View([](StoreView& view) { return view.ListHosts(); })->front().id, "kvm-2");
  EXPECT_EQ(View([](StoreView& view) { return view.ListVms(); })->front().host_id, "kvm-2");
  EXPECT_EQ(View([](StoreView& view) { return view.ListRepositories(); })->size(), 1);
}

TEST_P(StoreContract, AVmHasOneRegisteredIdPerProject) {
  const auto add = [&](const VmRegistration& registration) {
    return CommitAndWait(*store_,
                         [&](StoreTransaction& transaction) -> absl::StatusOr<Records> {
                           VMKEEP_RETURN_IF_ERROR(transaction.AddVmRegistration(registration));
                           return Records();
                         })
        .status();
  };
  EXPECT_THAT(add({"local", "web", Uuid(1)}), IsOk());
  EXPECT_THAT(add({"other", "web", Uuid(2)}), IsOk()) << "another project's ids are its own";
  EXPECT_THAT(add({"local", "web", Uuid(3)}), HasReason("VM_REGISTERED"));
  EXPECT_THAT(add({"local", "db", Uuid(1)}), HasReason("VM_REGISTERED"));
  Reopen();
  EXPECT_THAT(View([](StoreView& view) { return view.ListVmRegistrations(); }),
              IsOkAndHolds(ElementsAre(VmRegistration{"local", "web", Uuid(1)},
                                       VmRegistration{"other", "web", Uuid(2)})));
}

TEST_P(StoreContract, AcknowledgedNeverGoesBackButForAnotherExecutor) {
  HostRecord host = MakeHost("kvm-1");
  host.executor_id = "first";
  const auto after = [&](BackupStore::Mutation mutation) {
    EXPECT_THAT(CommitAndWait(*store_, std::move(mutation)), IsOk());
    return View([](StoreView& view) { return view.ListHosts(); })
        .value()
        .front()
        .acknowledged_sequence;
  };
  const auto acknowledge = [](int64_t sequence) {
    return [sequence](StoreTransaction& transaction) -> absl::StatusOr<Records> {
      VMKEEP_RETURN_IF_ERROR(transaction.PutAcknowledged("kvm-1", sequence));
      return Records();
    };
  };
  const auto put = [&](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    VMKEEP_RETURN_IF_ERROR(transaction.PutHost(host));
    return Records();
  };
  EXPECT_EQ(after(put), 0);
  EXPECT_EQ(after(acknowledge(7)), 7);
  EXPECT_EQ(after(acknowledge(5)), 7);
  host.address = "b";
  EXPECT_EQ(after(put), 7);
  host.executor_id = "second";
  EXPECT_EQ(after(put), 0);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, testing::Values(SqliteKind(), MemoryKind()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vmkeep::controller::test
