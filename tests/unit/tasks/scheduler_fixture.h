#ifndef VMKEEP_TESTS_UNIT_TASKS_SCHEDULER_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_TASKS_SCHEDULER_FIXTURE_H_

#include "common/error.h"
#include "controller/tasks/scheduler_core.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {

namespace cmd = scheduler_command;
namespace ev = scheduler_event;

inline RepositoryRecord Repository(const HostId& host, int slot, Health health = Health::kHealthy) {
  RepositoryRecord repository;
  repository.id = absl::StrCat("repo-", slot);  // both hosts see the same two
  repository.host_id = host;
  repository.slot = slot;
  repository.path = slot == 1 ? "/mnt/backup-p" : "/mnt/backup-s";
  repository.total_bytes = 1000;
  repository.free_bytes = slot == 1 ? 900 : 500;
  repository.health = health;
  return repository;
}

// One core, driven by hand. Every test reads: what happened, then what the core asks for.
class SchedulerCoreTest : public ::testing::Test {
 protected:
  SchedulerCoreTest() { Happen(ev::InventoryChanged{repositories_}); }

  static SchedulerOptions Options() {
    SchedulerOptions options;
    options.retry_first = absl::Seconds(10);
    options.seed = 7;
    return options;
  }

  std::vector<SchedulerCommand> Happen(std::vector<SchedulerEvent> events) {
    last_ = core_.Step(now_, std::move(events));
    for (const SchedulerCommand& command : last_) {
      if (const auto* set = std::get_if<cmd::SetCondition>(&command)) {
        shown_[set->id][set->type] = set->message;
      } else if (const auto* clear = std::get_if<cmd::ClearCondition>(&command)) {
        shown_[clear->id].erase(clear->type);
      }
    }
    return last_;
  }
  template <typename Event>
  std::vector<SchedulerCommand> Happen(Event event) {
    std::vector<SchedulerEvent> events;
    events.emplace_back(std::move(event));
    return Happen(std::move(events));
  }

  template <typename Command>
  std::vector<Command> Asked() const {
    std::vector<Command> found;
    for (const SchedulerCommand& command : last_) {
      if (const auto* one = std::get_if<Command>(&command)) found.push_back(*one);
    }
    return found;
  }
  std::vector<std::string> Begun() const {
    std::vector<std::string> ids;
    for (const auto& begin : Asked<cmd::BeginTask>()) ids.push_back(begin.id);
    return ids;
  }

  BackupRecord Request(const BackupId& id, const std::string& vm, const HostId& host = "h1",
                       int repository = 1) {
    BackupRecord record;
    record.id = id;
    record.vm_uuid = record.vm_id = record.vm_name = vm;
    record.host_id = host;
    record.requested_repository = repository;
    record.revision = ++revision_;
    return record;
  }
  BackupRecord ToScrub(const BackupId& id, const std::string& vm, const HostId& host = "h1") {
    BackupRecord record = Request(id, vm, host);
    record.state = BackupState::kScrub;
    record.repository = 1;
    record.repository_id = "repo-1";
    record.files_may_exist = true;
    return record;
  }
  // The record as the store makes it of a BeginTask command.
  BackupRecord Begin(const BackupRecord& record) {
    for (const auto& begin : Asked<cmd::BeginTask>()) {
      if (begin.id != record.id) continue;
      auto next = BeginTask(record, absl::StrCat("task-", record.epoch + 1),
                            begin.dispatch.repository, begin.dispatch.repository_id,
                            begin.dispatch.placement_reason, begin.dispatch.reserved_bytes);
      next->revision = ++revision_;
      return *next;
    }
    ADD_FAILURE() << record.id << " was not begun";
    return record;
  }
  // Accepted by the executor; what the core asked for last is a BeginTask of it.
  BackupRecord RunIt(const BackupRecord& record) {
    const BackupRecord building = Begin(record);
    Happen({ev::RecordChanged{building}, ev::Written{building.id, absl::OkStatus()}});
    const auto starts = Asked<cmd::StartTask>();
    EXPECT_THAT(starts, ::testing::SizeIs(1));
    if (!starts.empty()) Happen(ev::StartAccepted{building.id, starts[0].call});
    return building;
  }
  BackupRecord Changed(BackupRecord record) {
    record.revision = ++revision_;
    return record;
  }

  SchedulerCore core_{Options()};
  absl::Duration now_ = absl::Hours(1);
  int64_t revision_ = 0;
  std::vector<RepositoryRecord> repositories_ = {Repository("h1", 1), Repository("h1", 2),
                                                 Repository("h2", 1), Repository("h2", 2)};
  std::vector<SchedulerCommand> last_;
  std::map<BackupId, std::map<std::string, std::string>> shown_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_TESTS_UNIT_TASKS_SCHEDULER_FIXTURE_H_
