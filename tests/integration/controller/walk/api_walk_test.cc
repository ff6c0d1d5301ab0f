#include "controller/domain/lifecycle.h"
#include "controller/domain/states.h"
#include "tests/contract/store/sample_records.h"
#include "tests/contract/store/store_kinds.h"
#include "tests/integration/controller/walk/walk_rules.h"
#include "tests/integration/controller/walk/walk_world.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

// Seeded random calls of the API and events of hosts, in two worlds that differ by nothing but
// their store: SQLite and plain maps. After every step: both answered the same, and as the rules
// written down a second time say (walk_rules.h); every record moved along the table; List, its
// pages and Get agree; a VM has one unfinished backup at most; the scheduler counts a slot for each
// open task and none for what is settled. In the end, when all hosts are back and all work is done,
// what the records say is what lies in the repositories, and nothing else lies there.
//
// Seen red, each by one changed line of the product: with files forgotten by a later try, with a
// page that begins with the last of the one before in SQL, and with a settled record that keeps its
// reservation.
namespace vmkeep::controller::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

constexpr int kSteps = 150;
constexpr std::array<const char*, 2> kHosts = {"kvm-1", "kvm-2"};

class Walk {
 public:
  explicit Walk(uint64_t seed) : random_(seed), worlds_{&sqlite_, &memory_} {
    for (int vm = 1; vm <= 4; ++vm) {
      const HostId home = kHosts[vm % 2];
      for (WalkWorld* world : worlds_) world->host(home).vms[Uuid(vm)] = Vm(vm);
    }
    for (const HostId id : kHosts) {
      Register(id);
      SetOnline(id, true);
    }
  }

  void Run() {
    for (step_ = 0; step_ < kSteps && !testing::Test::HasFailure(); ++step_) {
      SCOPED_TRACE(absl::StrCat("step ", step_));
      for (WalkWorld* world : worlds_) world->Pass(absl::Milliseconds(1000 + 500 * (step_ % 5)));
      Look();
      Step();
      Check();
    }
    if (testing::Test::HasFailure()) return;
    Calm();
    CheckDisks();
  }

  // What was met on the way.
  std::set<std::string> reasons() const { return reasons_; }
  std::set<std::pair<BackupState, BackupState>> ways() const { return ways_; }
  int moves() const { return moves_; }

 private:
  int Pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  bool Chance(int percent) { return Pick(100) < percent; }
  HostId AnyHost() { return kHosts[Pick(2)]; }
  // One that exists, mostly.
  int AnyBackup() { return Pick(static_cast<int>(rules_.backups.size()) + 1); }
  static VmRecord Vm(int number) {
    VmRecord vm;
    vm.uuid = Uuid(number);
    vm.name = absl::StrCat("vm-", number);
    vm.power = PowerState::kOn;
    return vm;
  }
  std::string AnyEtag(int number) {
    if (Chance(70)) return "";
    const bool known = number < static_cast<int>(rules_.backups.size());
    return known && Chance(60) ? absl::StrCat(rules_.backups[number].revision) : "4711000";
  }

  // One step.

  void Step() {
    for (const HostId id : kHosts) {  // a host that was deleted is set up again soon
      if (rules_.hosts.contains(id) || !Chance(15)) continue;
      Register(id);
      SetOnline(id, true);
      Look();
    }
    const int dice = Pick(100);
    if (dice < 22) return Create();
    if (dice < 32) return Scrub();
    if (dice < 40) return Rename();
    if (dice < 50) return Retry();
    if (dice < 54) return UpdateHost();
    if (dice < 57) return DeleteHost();
    if (dice < 60) return RegisterVm();
    if (dice < 84) return Finish();
    if (dice < 89) return Flip();
    if (dice < 94) return Move();
    if (dice < 97) return Merge();
    for (WalkWorld* world : worlds_) world->Restart();
  }

  void Create() {
    const int vm = 1 + Pick(5);  // the fifth is nobody's
    CreateInput input;
    input.vm = Chance(50) ? Uuid(vm) : Chance(80) ? absl::StrCat("vm-", vm) : "shop-1";
    input.name = std::array{"nightly", "weekly", "day {date}", "at {time}"}[Pick(4)];
    input.repository = Chance(40) ? 0 : Pick(3);  // one that is not named may move
    if (Chance(20)) input.request_id = absl::StrCat("r-", Pick(3));
    input.request_digest = absl::StrCat(input.vm, "/", input.name, "/", input.repository);
    input.validate_only = Chance(10);
    Expect(rules_.Create(input), [&](WalkWorld& world) { return world.Create(input); });
  }
  void Scrub() {
    const int number = AnyBackup();
    UpdateInput input;
    input.scrub = true;
    input.etag = AnyEtag(number);
    Expect(rules_.Update(number, input),
           [&](WalkWorld& world) { return world.Update(number, input); });
  }
  void Rename() {
    const int number = AnyBackup();
    UpdateInput input;
    if (Chance(70)) input.name = std::array{"nightly", "weekly", "kept", "kept {time}"}[Pick(4)];
    if (!input.name || Chance(30)) input.labels = Labels{{"tier", absl::StrCat(Pick(3))}};
    input.etag = AnyEtag(number);
    Expect(rules_.Update(number, input),
           [&](WalkWorld& world) { return world.Update(number, input); });
  }
  // Mostly one that failed, those with files first: else a retry seldom comes to the point.
  int AnyToRetry() {
    std::vector<int> failed;
    std::vector<int> with_files;
    for (size_t number = 0; number < rules_.backups.size(); ++number) {
      const BackupRecord& backup = rules_.backups[number];
      if (backup.state != BackupState::kUnresourced) continue;
      (backup.files_may_exist ? with_files : failed).push_back(static_cast<int>(number));
    }
    if (!with_files.empty() && Chance(50))
      return with_files[Pick(static_cast<int>(with_files.size()))];
    if (!failed.empty() && Chance(60)) return failed[Pick(static_cast<int>(failed.size()))];
    return AnyBackup();
  }
  void Retry() {
    if (Chance(30)) {  // its VM may be elsewhere by now
      Move();
      Look();
    }
    const int number = AnyToRetry();
    const std::string etag = AnyEtag(number);
    Expect(rules_.Retry(number, etag), [&](WalkWorld& world) { return world.Retry(number, etag); });
  }
  void UpdateHost() {
    const HostId id = AnyHost();
    Inventory::HostChange change;
    change.draining = Chance(25);
    if (Chance(20)) change.executor_id = "somebody-else";
    Expect(rules_.UpdateHost(id, change.executor_id.has_value()),
           [&](WalkWorld& world) { return world.UpdateHost(id, change); });
  }
  void DeleteHost() {
    const HostId id = AnyHost();
    const std::string expected = rules_.DeleteHost(id);
    Expect(expected, [&](WalkWorld& world) { return world.DeleteHost(id); });
    if (!expected.empty()) {
      if (expected == "HOST_NOT_FOUND") Register(id);
      return;
    }
    rules_.hosts.erase(id);
    rules_.reported.erase(id);
  }
  void RegisterVm() {
    const std::string id =
        Chance(70) ? absl::StrCat("shop-", Pick(3)) : absl::StrCat("vm-", Pick(5));
    const std::string uuid = Uuid(1 + Pick(4));
    const std::string expected = rules_.RegisterVm(id, uuid);
    Expect(expected, [&](WalkWorld& world) { return world.RegisterVm(id, uuid); });
    if (expected.empty()) rules_.registered[id] = uuid;
  }

  // A task ends on its host; the controller hears of it at once, or when the host is back.
  void Finish() {
    const HostId id = AnyHost();
    const std::vector<int> running = sqlite_.Running(id);
    EXPECT_EQ(running, memory_.Running(id));
    if (running.empty()) return;
    const int number = running[Pick(static_cast<int>(running.size()))];
    const WalkHost::Task task = sqlite_.host(id).running().at(sqlite_.IdOf(number));
    WalkEnd end;
    if (!Chance(50)) {
      end.outcome = task.cancelled && Chance(60) ? Outcome::kCancelled : Outcome::kFailed;
      end.retryable = Chance(60);
      end.snapshot_taken = Chance(40);
      end.files_may_remain = end.outcome == Outcome::kFailed && Chance(45);
      end.vm_on_overlay = !task.scrub && end.outcome == Outcome::kFailed && Chance(15) &&
                          sqlite_.host(id).vms.contains(task.vm_uuid);
      end.repository_fault = !task.scrub && end.outcome == Outcome::kFailed && Chance(60);
      end.publishing = end.snapshot_taken && Chance(40);
    }
    for (WalkWorld* world : worlds_) world->Finish(id, number, end);
    Heard(id);
    if (!sqlite_.IsOnline(id)) return;
    const BackupRecord& before = rules_.backups.at(number);
    const BackupRecord after = sqlite_.Look().at(number);
    EXPECT_THAT(WalkRules::AfterEnd(before, end), Contains(after.state))
        << "b" << number << " was " << StateName(before.state) << " and is "
        << StateName(after.state);
  }
  void Flip() {
    const HostId id = AnyHost();
    if (!rules_.hosts.contains(id)) Register(id);
    // Back at once, away half as often: a host is there most of the time.
    if (!sqlite_.IsOnline(id) || Chance(50)) SetOnline(id, !sqlite_.IsOnline(id));
  }
  // VM 4 goes to the other host.
  void Move() {
    const bool on_first = sqlite_.host(kHosts[0]).vms.contains(Uuid(4));
    const HostId from = kHosts[on_first ? 0 : 1];
    const HostId to = kHosts[on_first ? 1 : 0];
    const VmRecord vm = sqlite_.host(from).vms.at(Uuid(4));
    if (vm.overlay) return;  // no hypervisor migrates it now
    const bool busy =
        std::any_of(sqlite_.host(from).running().begin(), sqlite_.host(from).running().end(),
                    [](const auto& running) { return running.second.vm_uuid == Uuid(4); });
    if (busy) return;
    for (WalkWorld* world : worlds_) {
      world->ChangeVm(from, vm.uuid, std::nullopt);
      world->ChangeVm(to, vm.uuid, Vm(4));
    }
    Heard(from);
    Heard(to);
  }
  void Merge() {
    const HostId id = AnyHost();
    for (const auto& [uuid, vm] : std::map<std::string, VmRecord>(sqlite_.host(id).vms)) {
      if (!vm.overlay) continue;
      VmRecord merged = vm;
      merged.overlay.reset();
      for (WalkWorld* world : worlds_) world->ChangeVm(id, uuid, merged);
    }
    Heard(id);
  }

  void Register(const HostId& id) {
    for (WalkWorld* world : worlds_) EXPECT_EQ(world->RegisterHost(id).reason, "");
    rules_.hosts.insert(id);
  }
  void SetOnline(const HostId& id, bool online) {
    for (WalkWorld* world : worlds_) world->SetOnline(id, online);
    Heard(id);
  }
  // What the controller knows of a host is what it last heard.
  void Heard(const HostId& id) {
    if (sqlite_.IsOnline(id)) rules_.reported[id] = sqlite_.host(id).vms;
  }

  template <typename Call>
  void Expect(const std::string& expected, Call call) {
    const WalkAnswer answer = call(sqlite_);
    const WalkAnswer other = call(memory_);
    EXPECT_EQ(answer.words, other.words) << "SQLite, and plain maps";
    EXPECT_EQ(answer.number, other.number);
    EXPECT_EQ(answer.reason, expected) << answer.words;
    reasons_.insert(answer.reason);
  }

  // What holds at any time.

  void Look() {
    rules_.backups = sqlite_.Look();
    rules_.now = sqlite_.Now();
  }

  void Check() {
    const std::vector<BackupRecord> records = sqlite_.Look();
    const std::vector<BackupRecord> others = memory_.Look();
    ASSERT_EQ(records.size(), others.size());
    std::map<std::string, int> unfinished;
    std::map<HostId, int> open;
    size_t owed = 0;
    for (size_t i = 0; i < records.size(); ++i) {
      const BackupRecord& record = records[i];
      SCOPED_TRACE(absl::StrCat("b", i));
      EXPECT_EQ(sqlite_.Words(record), memory_.Words(others[i])) << "SQLite, and plain maps";
      if (record.state == BackupState::kRequested || record.state == BackupState::kBuilding)
        ++unfinished[record.vm_uuid];
      if (record.task_open) ++open[record.host_id];
      if (NeedOf(record) != Need::kNothing) ++owed;
      CheckSettled(record);
      CheckMove(record);
    }
    for (const auto& [vm, count] : unfinished) EXPECT_LE(count, 1) << vm;
    for (const HostId id : kHosts) EXPECT_EQ(sqlite_.core().RunningOnHost(id), open[id]) << id;
    EXPECT_EQ(sqlite_.core().open_records(), owed);
    CheckPaths();
  }
  // Never back to a repository that it left, and the record says why it is where it is.
  void CheckMove(const BackupRecord& record) {
    EXPECT_LE(record.left_repositories.size(), 2u);
    if (record.placement_reason.empty()) return;  // it has no place now
    for (const LeftRepository& left : record.left_repositories) {
      EXPECT_NE(record.repository_id, left.id);
      EXPECT_THAT(record.placement_reason, HasSubstr(left.why));
      ++moves_;
    }
  }
  void CheckSettled(const BackupRecord& record) {
    if (!IsSettled(record.state)) return;
    EXPECT_FALSE(record.task_open);
    EXPECT_EQ(record.reserved_bytes, 0);
    EXPECT_TRUE(sqlite_.live().View(record).conditions.empty());
    if (record.state == BackupState::kRunning) {
      EXPECT_TRUE(sqlite_.disks().published.contains({record.repository_id, record.id}))
          << "RUNNING, and not published";
    }
  }
  void CheckPaths() {
    const auto paths = sqlite_.Paths();
    EXPECT_EQ(paths, memory_.Paths());
    for (const auto& [number, states] : paths) {
      EXPECT_EQ(states.front(), BackupState::kRequested);
      for (size_t i = 1; i < states.size(); ++i) {
        ways_.insert({states[i - 1], states[i]});
        EXPECT_TRUE(WalkRules::MayGo(states[i - 1], states[i]))
            << "b" << number << " went from " << StateName(states[i - 1]) << " to "
            << StateName(states[i]);
      }
    }
  }

  // In the end.

  void Calm() {
    for (const HostId id : kHosts) {
      if (!rules_.hosts.contains(id)) Register(id);
      for (WalkWorld* world : worlds_)
        EXPECT_EQ(world->UpdateHost(id, {.draining = false, .executor_id = {}}).reason, "");
      SetOnline(id, true);
    }
    for (int round = 0; round < 100 && sqlite_.core().open_records() > 0; ++round) {
      for (WalkWorld* world : worlds_) {
        world->Pass(absl::Minutes(10));
        for (const HostId id : kHosts) {
          for (const int number : world->Running(id)) {
            const auto& task = world->host(id).running().at(world->IdOf(number));
            world->Finish(id, number, {task.cancelled ? Outcome::kCancelled : Outcome::kDone});
          }
        }
      }
    }
    EXPECT_EQ(sqlite_.core().open_records(), 0u) << "something was forgotten";
    Check();
  }
  void CheckDisks() {
    for (WalkWorld* world : worlds_) {
      std::set<std::pair<std::string, BackupId>> said;
      std::set<std::pair<std::string, BackupId>> may_have_files;
      for (const BackupRecord& record : world->Look()) {
        const std::pair<std::string, BackupId> folder{record.repository_id, record.id};
        if (record.state == BackupState::kRunning) said.insert(folder);
        if (record.files_may_exist) may_have_files.insert(folder);
      }
      EXPECT_EQ(world->disks().published, said) << "what lies there, and what the records say";
      for (const auto& [folder, hosts] : world->disks().leftovers) {
        if (hosts.empty()) continue;
        EXPECT_TRUE(may_have_files.contains(folder))
            << "b" << world->NumberOf(folder.second) << " left files that no record tells of";
      }
    }
  }

  std::mt19937_64 random_;
  WalkWorld sqlite_{SqliteKind()};
  WalkWorld memory_{MemoryKind()};
  const std::array<WalkWorld*, 2> worlds_;
  WalkRules rules_;
  int step_ = 0;
  std::set<std::string> reasons_;
  std::set<std::pair<BackupState, BackupState>> ways_;
  int moves_ = 0;
};

// The seed is in the message of a failure; `kSeeds` of them take about ten seconds.
constexpr uint64_t kSeeds = 20;

TEST(ApiWalkTest, BothStoresAnswerAsTheRulesSay) {
  std::set<std::string> reasons;
  std::set<std::pair<BackupState, BackupState>> ways;
  int moves = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Walk walk(seed);
    walk.Run();
    if (HasFailure()) return;
    reasons.merge(walk.reasons());
    ways.merge(walk.ways());
    moves += walk.moves();
  }
  // Else it compares too little with too little.
  EXPECT_GT(moves, 5);
  EXPECT_THAT(
      reasons,
      IsSupersetOf({"", "BACKUP_NOT_FOUND", "ETAG_MISMATCH", "ILLEGAL_TRANSITION", "BACKUP_CLOSED",
                    "NAME_TAKEN", "UNFINISHED_BACKUP", "VM_ON_OVERLAY", "VM_NOT_FOUND",
                    "VM_AMBIGUOUS", "REQUEST_ID_REUSED", "FILES_ON_OTHER_HOST", "HOST_IN_USE",
                    "HOST_NOT_FOUND", "EXECUTOR_NOT_SEEN", "VM_REGISTERED", "VM_ID_IS_A_NAME"}));
  for (const BackupState from : kAllStates) {
    for (const BackupState to : kAllStates) {
      // Every placement here succeeds.
      const bool never = from == BackupState::kRequested && to == BackupState::kUnresourced;
      if (from == to || !WalkRules::MayGo(from, to) || never) continue;
      EXPECT_TRUE(ways.contains({from, to})) << StateName(from) << " to " << StateName(to);
    }
  }
}

}  // namespace
}  // namespace vmkeep::controller::test
