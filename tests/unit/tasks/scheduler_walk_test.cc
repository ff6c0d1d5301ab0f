#include "common/error.h"
#include "controller/domain/states.h"
#include "controller/tasks/scheduler_core.h"

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

// A seeded walk of the queue against a small model of store and hosts, in which everything is late,
// lost or repeated. Checked after each step: limits hold, no two tries of one backup and no two
// tasks of one VM run at once, a task that was begun is never begun again, and in the end no record
// is forgotten. Seen red, each by one changed line: without the mark of a write under way (begun
// twice), with > for >= at either limit, without the rule of one task per VM, with a begin that
// does not count yet, with a lost answer taken for a refusal (two tries run), with a reconnect that
// keeps what the old connection was told, and with a cancelled task that was never accepted left
// alone (both: forgotten).
namespace vmkeep::controller {
namespace {

namespace cmd = scheduler_command;
namespace ev = scheduler_event;

constexpr int kHosts = 3;
constexpr int kVmsPerHost = 4;
constexpr int kSteps = 600;

// An executor: accepts tasks durably, fences by epoch, one task per VM.
struct HostModel {
  struct Task {
    TaskRef ref;
    BackupId backup;
    std::string vm;
    bool scrub = false;
    bool cancelled = false;
  };
  bool online = false;
  std::map<BackupId, Task> running;
  std::map<BackupId, int64_t> highest_epoch;
  std::set<BackupId> fenced;  // cancelled before it came: this epoch never starts
};

class Walk {
 public:
  explicit Walk(uint64_t seed) : random_(seed), core_(Options(seed)) {
    for (int h = 0; h < kHosts; ++h) hosts_[HostName(h)] = {};
    PushInventory();
  }

  void Run() {
    for (int step = 0; step < kSteps && !::testing::Test::HasFailure(); ++step) {
      Disturb();
      Deliver(Pick(4));
      CheckInvariants();
    }
    Calm();
    for (int step = 0; step < 4000 && !AllSettled() && !::testing::Test::HasFailure(); ++step) {
      now_ += absl::Seconds(20);
      Push(ev::Tick{});
      for (auto& [id, host] : hosts_) FinishSomething(host, /*well=*/true);
      Deliver(100);
      CheckInvariants();
    }
    for (const auto& [id, record] : records_) {
      EXPECT_EQ(NeedOf(record), Need::kNothing)
          << id << " was forgotten in " << StateName(record.state);
    }
    EXPECT_EQ(core_.open_records(), 0U);
    EXPECT_GT(begun_.size(), 20U) << "the walk did not come to the point";
  }

 private:
  static SchedulerOptions Options(uint64_t seed) {
    SchedulerOptions options;
    options.seed = seed;
    return options;
  }
  static HostId HostName(int h) { return absl::StrCat("h", h); }
  int Pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  bool Chance(int percent) { return Pick(100) < percent; }

  // The world.

  void Disturb() {
    now_ += absl::Seconds(Pick(8));
    switch (Pick(8)) {
      case 0:
      case 1:
        CreateBackup();
        break;
      case 2:
        ScrubOne();
        break;
      case 3:
      case 4:
        FinishSomething(hosts_[HostName(Pick(kHosts))], Chance(60));
        break;
      case 5:
        Flip(HostName(Pick(kHosts)));
        break;
      case 6:
        ill_repository_ = Chance(30) ? Pick(2) + 1 : 0;
        PushInventory();
        break;
      default:
        Push(ev::Tick{});
    }
  }

  void Calm() {
    ill_repository_ = 0;
    losses_ = false;
    PushInventory();
    for (auto& [id, host] : hosts_) {
      if (!host.online) Flip(id);
    }
  }

  void CreateBackup() {
    const int h = Pick(kHosts);
    const std::string vm = absl::StrCat("vm", h, "-", Pick(kVmsPerHost));
    for (const auto& [id, record] : records_) {
      if (record.vm_uuid == vm && (IsUnfinished(record.state) || record.task_open)) return;
    }
    BackupRecord record;
    record.id = absl::StrCat("b", records_.size());
    record.vm_uuid = record.vm_name = vm;
    record.host_id = HostName(h);
    record.requested_repository = Pick(3);
    Store(record);
  }

  void ScrubOne() {
    if (records_.empty()) return;
    auto chosen = records_.begin();
    std::advance(chosen, Pick(static_cast<int>(records_.size())));
    const auto next = RequestScrub(chosen->second);
    if (next.ok() && next->state != chosen->second.state) Store(*next);
  }

  void FinishSomething(HostModel& host, bool well) {
    if (host.running.empty()) return;
    auto chosen = host.running.begin();
    std::advance(chosen, Pick(static_cast<int>(host.running.size())));
    const HostModel::Task task = chosen->second;
    host.running.erase(chosen);
    ExecutorEvent event{
        .sequence = 1, .time = {}, .task = task.ref, .backup_id = task.backup, .body = {}};
    TaskEnded ended;
    ended.outcome = task.cancelled ? Outcome::kCancelled : well ? Outcome::kDone : Outcome::kFailed;
    if (ended.outcome == Outcome::kDone) ended.backup = BackupResult{};
    if (ended.outcome == Outcome::kFailed)
      ended.failure = Failure{.reason = "TEST",
                              .message = "",
                              .phase = "",
                              .retryable = Chance(70),
                              .time = {},
                              .metadata = {}};
    ended.files_may_remain = Chance(20);
    event.body = ended;
    unreported_.push_back(event);
    if (host.online) Report();
  }

  // Durable events of hosts reach the store sooner or later, at the latest before the next
  // ListTasks.
  void Report() {
    for (const ExecutorEvent& event : std::exchange(unreported_, {})) {
      if (const auto next = ApplyEvent(records_[event.backup_id], event)) Store(*next);
    }
  }

  void Flip(const HostId& id) {
    HostModel& host = hosts_[id];
    host.online = !host.online;
    if (!host.online) {
      Push(ev::HostOffline{id, "cut"});
      return;
    }
    Report();
    std::vector<KnownTask> tasks;
    for (const auto& [backup, task] : host.running) tasks.push_back({task.ref, backup, false});
    Push(ev::HostOnline{id, tasks});
  }

  void PushInventory() {
    std::vector<RepositoryRecord> repositories;
    for (int h = 0; h < kHosts; ++h) {
      for (int slot = 1; slot <= 2; ++slot) {
        RepositoryRecord repository;
        repository.id = absl::StrCat("r", slot);
        repository.host_id = HostName(h);
        repository.slot = slot;
        repository.free_bytes = 100;
        repository.total_bytes = 200;
        repository.health = slot == ill_repository_ ? Health::kIll : Health::kHealthy;
        repositories.push_back(repository);
      }
    }
    Push(ev::InventoryChanged{repositories});
  }

  void Store(BackupRecord record) {
    record.revision = ++revision_;
    records_[record.id] = record;
    Push(ev::RecordChanged{record});
  }

  // The core and its commands.

  void Push(SchedulerEvent event) { inbox_.push_back(std::move(event)); }

  // Some of what waits reaches the core, in its order; answers of calls come in any order.
  void Deliver(int rounds) {
    for (int i = 0; i < rounds && !(inbox_.empty() && answers_.empty()); ++i) {
      if (!answers_.empty() && Chance(60)) {
        const auto chosen = answers_.begin() + Pick(static_cast<int>(answers_.size()));
        const std::function<void()> answer = *chosen;
        answers_.erase(chosen);
        answer();
      }
      std::vector<SchedulerEvent> batch(inbox_.begin(), inbox_.end());
      inbox_.clear();
      for (const SchedulerCommand& command : core_.Step(now_, std::move(batch))) {
        std::visit([this](const auto& c) { Obey(c); }, command);
      }
    }
  }

  void Write(const BackupId& id, const absl::StatusOr<BackupRecord>& next) {
    absl::Status status = next.status();
    if (losses_ && Chance(5)) {
      status = absl::UnavailableError("disk full");
    } else if (next.ok()) {
      Store(*next);
    }
    Push(ev::Written{id, status});
  }

  void Obey(const cmd::BeginTask& command) {
    answers_.emplace_back([this, command] {
      const BackupRecord& record = records_[command.id];
      const auto next =
          BeginTask(record, absl::StrCat(command.id, "/", record.epoch + 1),
                    command.dispatch.repository, command.dispatch.repository_id, "", 0);
      Write(command.id, next);
      if (records_[command.id].epoch > record.epoch) return;
      if (next.ok() && records_[command.id].task_id == next->task_id) {
        EXPECT_TRUE(begun_.insert(next->task_id).second) << next->task_id << " was begun twice";
      }
    });
  }
  void Obey(const cmd::RejectTask& command) {
    answers_.emplace_back([this, command] {
      Write(command.id, RejectTask(records_[command.id], command.epoch, command.failure));
    });
  }
  void Obey(const cmd::CloseWithoutTask& command) {
    answers_.emplace_back(
        [this, command] { Write(command.id, CloseWithoutTask(records_[command.id])); });
  }

  void Obey(const cmd::StartTask& command) {
    answers_.emplace_back([this, command] {
      HostModel& host = hosts_[command.record.host_id];
      const bool arrives = host.online && !(losses_ && Chance(10));
      const absl::Status status =
          arrives ? Accept(host, command.record) : absl::UnavailableError("lost");
      const bool answered = arrives && !(losses_ && Chance(10));
      if (answered && status.ok()) {
        Push(ev::StartAccepted{command.record.id, command.call});
      } else {
        Push(ev::StartRefused{command.record.id, command.call,
                              answered ? status : absl::DeadlineExceededError("lost")});
      }
    });
  }

  absl::Status Accept(HostModel& host, const BackupRecord& record) {
    const TaskRef ref{record.task_id, record.epoch};
    const auto running = host.running.find(record.id);
    if (running != host.running.end() && running->second.ref == ref) return absl::OkStatus();
    if (record.epoch < host.highest_epoch[record.id] || host.fenced.contains(ref.task_id)) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "STALE_EPOCH", "seen a higher one");
    }
    // Accepted and ended before; the end is on its way.
    if (record.epoch == host.highest_epoch[record.id]) return absl::OkStatus();
    EXPECT_EQ(running, host.running.end()) << record.id << ": two tries run at once";
    for (const auto& [id, task] : host.running) {
      if (task.vm == record.vm_uuid)
        return MakeError(absl::StatusCode::kFailedPrecondition, "VM_BUSY", "busy");
    }
    host.highest_epoch[record.id] = record.epoch;
    host.running[record.id] = {ref, record.id, record.vm_uuid, record.task_is_scrub, false};
    return absl::OkStatus();
  }

  void Obey(const cmd::CancelTask& command) {
    answers_.emplace_back([this, command] {
      HostModel& host = hosts_[command.host];
      if (!host.online || (losses_ && Chance(10))) {
        Push(ev::CancelAnswered{command.id, command.call, absl::UnavailableError("lost"), false});
        return;
      }
      bool known = false;
      for (auto& [id, task] : host.running) {
        if (!(task.ref == command.task)) continue;
        task.cancelled = known = true;
      }
      bool reported_later = false;
      for (const ExecutorEvent& event : unreported_)
        reported_later = reported_later || event.task == command.task;
      if (!known) host.fenced.insert(command.task.task_id);
      Push(ev::CancelAnswered{command.id, command.call, absl::OkStatus(),
                              !known && !reported_later});
    });
  }
  void Obey(const cmd::SetCondition& command) { conditions_.insert({command.id, command.type}); }
  void Obey(const cmd::ClearCondition& command) {
    EXPECT_EQ(conditions_.erase({command.id, command.type}), 1U) << "cleared what was not shown";
  }
  void Obey(const cmd::ArmTimer&) {}  // time passes anyway

  void CheckInvariants() {
    std::map<HostId, int> open;
    std::map<std::string, int> repositories;
    std::map<std::string, int> vms;
    for (const auto& [id, record] : records_) {
      if (!record.task_open) continue;
      ++open[record.host_id];
      ++repositories[record.repository_id];
      ++vms[record.vm_uuid];
    }
    for (const auto& [host, count] : open) EXPECT_LE(count, 2) << host;
    for (const auto& [repository, count] : repositories) EXPECT_LE(count, 4) << repository;
    for (const auto& [vm, count] : vms) EXPECT_LE(count, 1) << vm;
  }

  bool AllSettled() const {
    for (const auto& [id, record] : records_) {
      if (NeedOf(record) != Need::kNothing) return false;
    }
    return inbox_.empty() && answers_.empty();
  }

  std::mt19937_64 random_;
  SchedulerCore core_;
  absl::Duration now_ = absl::Hours(1);
  std::map<BackupId, BackupRecord> records_;  // the store
  int64_t revision_ = 0;
  std::map<HostId, HostModel> hosts_;
  std::vector<ExecutorEvent> unreported_;
  int ill_repository_ = 0;
  bool losses_ = true;
  std::deque<SchedulerEvent> inbox_;
  std::deque<std::function<void()>> answers_;
  std::set<std::string> begun_;
  std::set<std::pair<BackupId, std::string>> conditions_;
};

class SchedulerWalkTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(SchedulerWalkTest, HoldsItsLimitsAndForgetsNothing) {
  SCOPED_TRACE(absl::StrCat("seed ", GetParam()));
  Walk(GetParam()).Run();
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerWalkTest, ::testing::Range<uint64_t>(1, 101));

}  // namespace
}  // namespace vmkeep::controller
