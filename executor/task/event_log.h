#ifndef VMKEEP_EXECUTOR_TASK_EVENT_LOG_H_
#define VMKEEP_EXECUTOR_TASK_EVENT_LOG_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "executor/task/journal/journal.h"
#include "vmkeep/executor/v1/task.pb.h"

#include "absl/status/statusor.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {

// Takes events to those who listen: the durable ones from the journal, in order and without a gap;
// progress and inventory from memory, the newest per task. A slow listener costs one progress per
// task and holds up nobody. Thread-safe. Outlives its subscriptions' use.
class EventLog {
 public:
  class Subscription {
   public:
    // The next events, at most `limit` durable ones; empty when there is nothing new. Waits for the
    // disk. One caller at a time.
    absl::StatusOr<std::vector<v1::Event>> Next(int limit);

   private:
    friend class EventLog;
    Subscription(Journal& journal, int64_t after, std::function<void()> wake)
        : journal_(journal), after_(after), wake_(std::move(wake)) {}

    Journal& journal_;
    int64_t after_;  // of Next()'s caller alone
    const std::function<void()> wake_;
    Mutex mu_;
    std::map<std::string, v1::Event> passing_ ABSL_GUARDED_BY(mu_);  // by task; "" is inventory
  };

  EventLog(Journal& journal, Clock& clock) : journal_(journal), clock_(clock) {}

  // `wake` is called from any thread, soon after something new is there; it must not block and may
  // come once too often. OUT_OF_RANGE, SEQUENCE_UNKNOWN, when `after` is in the future.
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(int64_t after, std::function<void()> wake)
      ABSL_LOCKS_EXCLUDED(mu_);

  // An event of a task with its time, ready for the journal.
  v1::Event NewEvent(const TaskRecord& record);
  // Durable events were put into the journal.
  void Committed() ABSL_LOCKS_EXCLUDED(mu_);
  void TellProgress(const TaskRecord& record, const ::vmkeep::v1::Progress& progress);
  // The task's end is about to be durable: no progress of it comes after that.
  void DropProgress(const TaskRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  void TellInventoryChanged();

 private:
  void Tell(const std::string& key, const v1::Event& event) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::shared_ptr<Subscription>> Listening() ABSL_LOCKS_EXCLUDED(mu_);

  Journal& journal_;
  Clock& clock_;
  Mutex mu_;
  std::vector<std::weak_ptr<Subscription>> subscriptions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_EVENT_LOG_H_
