#ifndef VMKEEP_TESTS_UNIT_PROGRESS_WATCH_TAKER_H_
#define VMKEEP_TESTS_UNIT_PROGRESS_WATCH_TAKER_H_

#include "common/mutex.h"
#include "controller/progress/watch_hub.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {

// Takes a watcher's items as a stream does: asks, and waits for on_ready when there is nothing. For
// one thread.
class WatchTaker {
 public:
  WatchTaker(WatchHub& hub, WatchHub::Request request)
      : watcher_(hub.Watch(std::move(request), [ready = ready_] {
          MutexLock lock(&ready->mu);
          ready->told = true;
          ready->changed.NotifyAll();
        })) {}

  // The next item; nothing when the watch finished or was closed. Waits for ever otherwise: the
  // test's timeout counts.
  std::optional<Watcher::Item> Take() {
    while (true) {
      if (std::optional<Watcher::Item> item = watcher_->Next()) return item;
      if (watcher_->finished() || watcher_->closed()) return std::nullopt;
      MutexLock lock(&ready_->mu);
      while (!ready_->told) ready_->changed.Wait(&ready_->mu);
      ready_->told = false;
    }
  }
  // Views up to and with the one that `last` accepts; bookmarks are left out.
  template <typename Last>
  std::vector<BackupView> TakeUntil(Last last) {
    std::vector<BackupView> views;
    while (std::optional<Watcher::Item> item = Take()) {
      if (!item->view) continue;
      views.push_back(*std::move(item->view));
      if (last(views.back())) break;
    }
    return views;
  }
  // The views of the snapshot.
  std::vector<BackupView> TakeSnapshot() {
    std::vector<BackupView> views;
    while (std::optional<Watcher::Item> item = Take()) {
      if (item->snapshot_complete) break;
      views.push_back(*std::move(item->view));
    }
    return views;
  }

  Watcher& watcher() { return *watcher_; }

 private:
  struct Ready {
    Mutex mu;
    CondVar changed;
    bool told ABSL_GUARDED_BY(mu) = false;
  };
  const std::shared_ptr<Ready> ready_ = std::make_shared<Ready>();
  const std::shared_ptr<Watcher> watcher_;
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_UNIT_PROGRESS_WATCH_TAKER_H_
