#include "executor/task/event_log.h"

#include "common/status_macros.h"
#include "executor/task/backup_manifest.h"
#include "executor/task/errors.h"

#include <utility>

namespace vmkeep::executor {

absl::StatusOr<std::vector<v1::Event>> EventLog::Subscription::Next(int limit) {
  std::map<std::string, v1::Event> passing;
  {
    MutexLock lock(&mu_);
    passing.swap(passing_);
  }
  VMKEEP_ASSIGN_OR_RETURN(std::vector<v1::Event> events, journal_.EventsAfter(after_, limit));
  if (!events.empty()) after_ = events.back().sequence();
  for (auto& [task, event] : passing) events.push_back(std::move(event));
  return events;
}

absl::StatusOr<std::shared_ptr<EventLog::Subscription>> EventLog::Subscribe(
    int64_t after, std::function<void()> wake) {
  VMKEEP_ASSIGN_OR_RETURN(const int64_t last, journal_.LastSequence());
  if (after > last) return error::SequenceUnknown(after, last);
  std::shared_ptr<Subscription> added(new Subscription(journal_, after, std::move(wake)));
  MutexLock lock(&mu_);
  std::erase_if(subscriptions_, [](const auto& each) { return each.expired(); });
  subscriptions_.push_back(added);
  return added;
}

v1::Event EventLog::NewEvent(const TaskRecord& record) {
  v1::Event event;
  *event.mutable_time() = ToTimestamp(clock_.Now());
  event.mutable_task()->set_task_id(record.task.id);
  event.mutable_task()->set_epoch(record.task.epoch);
  event.set_backup_id(record.backup_id);
  return event;
}

void EventLog::Committed() {
  for (const auto& subscription : Listening()) subscription->wake_();
}

void EventLog::TellProgress(const TaskRecord& record, const ::vmkeep::v1::Progress& progress) {
  v1::Event event = NewEvent(record);
  *event.mutable_progress() = progress;
  Tell(record.task.ToString(), event);
}

void EventLog::DropProgress(const TaskRecord& record) {
  for (const auto& subscription : Listening()) {
    MutexLock lock(&subscription->mu_);
    subscription->passing_.erase(record.task.ToString());
  }
}

void EventLog::TellInventoryChanged() {
  v1::Event event;
  *event.mutable_time() = ToTimestamp(clock_.Now());
  event.mutable_inventory();
  Tell("", event);
}

void EventLog::Tell(const std::string& key, const v1::Event& event) {
  for (const auto& subscription : Listening()) {
    {
      MutexLock lock(&subscription->mu_);
      subscription->passing_[key] = event;
    }
    subscription->wake_();
  }
}

std::vector<std::shared_ptr<EventLog::Subscription>> EventLog::Listening() {
  std::vector<std::shared_ptr<Subscription>> listening;
  MutexLock lock(&mu_);
  for (const auto& each : subscriptions_) {
    if (auto subscription = each.lock()) listening.push_back(std::move(subscription));
  }
  return listening;
}

}  // namespace vmkeep::executor
