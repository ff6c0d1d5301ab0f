#include "tests/simulation/journal_model.h"

#include "common/error.h"
#include "common/status_macros.h"
#include "executor/task/errors.h"

#include <algorithm>

namespace vmkeep::sim {

using executor::TaskId;

absl::Status JournalModel::Write() const {
  if (!failing) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnavailable, "DATABASE_ERROR", "the journal's disk fails");
}

JournalModel::Task* JournalModel::Find(const TaskId& task) {
  for (Task& each : tasks_) {
    if (each.known.record.task == task) return &each;
  }
  return nullptr;
}

absl::StatusOr<bool> JournalModel::Known(const TaskId& task, const std::string& backup_id) const {
  for (const Task& each : tasks_) {
    if (each.known.record.task == task) return true;
  }
  if (base_.mutant == Mutant::kAcceptsOldEpochs) return false;
  if (const auto highest = highest_.find(backup_id); highest != highest_.end()) {
    const auto& [epoch, id] = highest->second;
    if (epoch == task.epoch && id == task.id) return true;
    if (task.epoch <= epoch) return executor::error::StaleEpoch(task.ToString(), epoch);
  }
  if (const auto refused = refused_.find(task.id);
      refused != refused_.end() && refused->second >= task.epoch) {
    return executor::error::StaleEpoch(task.ToString(), refused->second);
  }
  return false;
}

absl::StatusOr<bool> JournalModel::Accept(const executor::TaskRecord& record,
                                          const executor::TaskState& state) {
  VMKEEP_RETURN_IF_ERROR(Write());
  VMKEEP_ASSIGN_OR_RETURN(const bool known, Known(record.task, record.backup_id));
  if (known) return true;
  highest_[record.backup_id] = {record.task.epoch, record.task.id};
  tasks_.push_back({{record, state, {}}});
  ever_[record.task.ToString()] = record;
  return false;
}

absl::StatusOr<bool> JournalModel::RefuseUnlessUnfinished(const TaskId& task) {
  VMKEEP_RETURN_IF_ERROR(Write());
  const Task* found = Find(task);
  if (found != nullptr && !found->known.state.ended) return true;
  refused_[task.id] = std::max(refused_[task.id], task.epoch);
  return false;
}

absl::Status JournalModel::Save(const TaskId& task, const executor::TaskState& state,
                                const std::vector<controller::ExecutorEvent>& events) {
  VMKEEP_RETURN_IF_ERROR(Write());
  Find(task)->known.state = state;
  Add(events);
  return absl::OkStatus();
}

absl::Status JournalModel::End(const TaskId& task, const executor::TaskState& state,
                               const executor::Ending& ending,
                               const std::vector<controller::ExecutorEvent>& events) {
  VMKEEP_RETURN_IF_ERROR(Write());
  Task& ended = *Find(task);
  ended.known.state = state;
  ended.known.state.ended = true;
  Add(events);
  ended.end_sequence = last_sequence_;
  const bool file_left =
      std::any_of(state.steps.begin(), state.steps.end(), [](const executor::Step& step) {
        return step.kind == executor::StepKind::kRemoveOverlay &&
               step.status == executor::StepStatus::kFailed;
      });
  ended.on_overlay = ending.vm_on_overlay || file_left;
  ended.files_remain = ending.files_may_remain;
  return absl::OkStatus();
}

absl::Status JournalModel::PutData(const TaskId& task, const executor::BackupData& data) {
  VMKEEP_RETURN_IF_ERROR(Write());
  Find(task)->known.data = data;
  return absl::OkStatus();
}

absl::Status JournalModel::ForgetOverlays(const TaskId& task) {
  VMKEEP_RETURN_IF_ERROR(Write());
  if (Task* found = Find(task)) found->on_overlay = false;
  DropForgotten();
  return absl::OkStatus();
}

absl::Status JournalModel::ForgetFiles(const TaskId& task) {
  VMKEEP_RETURN_IF_ERROR(Write());
  if (Task* found = Find(task)) found->files_remain = false;
  DropForgotten();
  return absl::OkStatus();
}

absl::Status JournalModel::Acknowledge(int64_t sequence) {
  VMKEEP_RETURN_IF_ERROR(Write());
  std::erase_if(events_, [&](const auto& event) { return event.sequence <= sequence; });
  for (Task& task : tasks_) {
    if (task.known.state.ended && task.end_sequence <= sequence) task.acknowledged = true;
  }
  DropForgotten();
  return absl::OkStatus();
}

std::vector<executor::KnownTask> JournalModel::Unfinished() const {
  std::vector<executor::KnownTask> found;
  for (const Task& task : tasks_) {
    if (!task.known.state.ended) found.push_back(task.known);
  }
  return found;
}

std::vector<executor::KnownTask> JournalModel::Stranded() const {
  std::vector<executor::KnownTask> found;
  for (const Task& task : tasks_) {
    if (task.known.state.ended && task.on_overlay) found.push_back(task.known);
  }
  return found;
}

std::vector<executor::TaskRecord> JournalModel::Leftovers() const {
  std::vector<executor::TaskRecord> found;
  for (const Task& task : tasks_) {
    if (task.known.state.ended && task.files_remain) found.push_back(task.known.record);
  }
  return found;
}

bool JournalModel::NamesOverlay(const std::string& task_id) const {
  return std::any_of(tasks_.begin(), tasks_.end(),
                     [&](const Task& task) { return task.known.record.task.id == task_id; });
}

std::vector<controller::ExecutorEvent> JournalModel::EventsAfter(int64_t sequence) const {
  std::vector<controller::ExecutorEvent> found;
  for (const auto& event : events_) {
    if (event.sequence > sequence) found.push_back(event);
  }
  return found;
}

void JournalModel::Add(const std::vector<controller::ExecutorEvent>& events) {
  for (controller::ExecutorEvent event : events) {
    event.sequence = ++last_sequence_;
    events_.push_back(std::move(event));
  }
}

void JournalModel::DropForgotten() {
  std::erase_if(tasks_, [](const Task& task) {
    return task.acknowledged && !task.on_overlay && !task.files_remain;
  });
}

}  // namespace vmkeep::sim
