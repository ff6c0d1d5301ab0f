#include "controller/progress/watch_hub.h"

#include "common/log.h"
#include "common/mutex.h"
#include "controller/domain/states.h"
#include "controller/progress/buffered_watcher.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace vmkeep::controller {
namespace {

using Watchers = std::vector<std::shared_ptr<BufferedWatcher>>;

void TellReady(const Watchers& watchers) {
  for (const std::shared_ptr<BufferedWatcher>& watcher : watchers) watcher->on_ready();
}

// What the hub and the reads under way share: a read may end after the hub.
class Fan {
 public:
  // What is there before anything is published.
  void Begin(std::vector<BackupRecord> open, int64_t revision) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    published_ = revision;
    for (BackupRecord& record : open) {
      const BackupId id = record.id;
      open_[id] = std::make_shared<const BackupRecord>(std::move(record));
    }
  }

  template <typename Make>
  std::shared_ptr<BufferedWatcher> Add(Make make) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    std::shared_ptr<BufferedWatcher> watcher = make(published_);
    if (watcher->waits_for_earlier()) {
      for (const auto& [id, record] : open_) watcher->Expect(*record);
    }
    watchers_.push_back(watcher);
    if (closed_) watcher->End(std::nullopt);
    return watcher;
  }

  void Changed(const std::vector<BackupRecord>& records) ABSL_LOCKS_EXCLUDED(mu_);
  void Live(const BackupId& id) ABSL_LOCKS_EXCLUDED(mu_);
  // `record` is the newest that was published of the backup.
  void Live(const SharedRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  void Rows(const std::shared_ptr<BufferedWatcher>& watcher,
            absl::StatusOr<std::vector<BackupRecord>> rows, int64_t read_at)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Those still in use, and `held`, which keeps them until after the lock: a watcher's end may run
  // its user's code.
  void Hold(Watchers& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OfferLive(const SharedRecord& record, Watchers& held, Watchers& ready)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int64_t published_ ABSL_GUARDED_BY(mu_) = 0;
  // Backups whose progress may change, as last published; one per VM at most, and those being
  // scrubbed.
  std::unordered_map<BackupId, SharedRecord> open_ ABSL_GUARDED_BY(mu_);
  std::vector<std::weak_ptr<BufferedWatcher>> watchers_ ABSL_GUARDED_BY(mu_);
};

void Fan::Hold(Watchers& held) {
  held.reserve(watchers_.size());
  std::erase_if(watchers_, [&](const std::weak_ptr<BufferedWatcher>& weak) {
    std::shared_ptr<BufferedWatcher> watcher = weak.lock();
    if (watcher == nullptr) return true;
    held.push_back(std::move(watcher));
    return false;
  });
}

void Fan::Changed(const std::vector<BackupRecord>& records) {
  std::vector<SharedRecord> shared;
  shared.reserve(records.size());
  for (const BackupRecord& record : records)
    shared.push_back(std::make_shared<const BackupRecord>(record));
  Watchers held;
  Watchers ready;
  {
    MutexLock lock(&mu_);
    for (const SharedRecord& record : shared) {
      published_ = std::max(published_, record->revision);
      if (IsSettled(record->state)) {
        open_.erase(record->id);
      } else {
        open_[record->id] = record;
      }
    }
    Hold(held);
    for (const auto& watcher : held) {
      if (watcher->OfferChanges(shared, published_)) ready.push_back(watcher);
    }
  }
  TellReady(ready);
}

void Fan::Live(const BackupId& id) {
  Watchers held;
  Watchers ready;
  {
    MutexLock lock(&mu_);
    const auto record = open_.find(id);
    if (record == open_.end()) return;
    OfferLive(record->second, held, ready);
  }
  TellReady(ready);
}

void Fan::Live(const SharedRecord& record) {
  Watchers held;
  Watchers ready;
  {
    MutexLock lock(&mu_);
    OfferLive(record, held, ready);
  }
  TellReady(ready);
}

void Fan::OfferLive(const SharedRecord& record, Watchers& held, Watchers& ready) {
  Hold(held);
  for (const auto& watcher : held) {
    if (watcher->OfferLive(record)) ready.push_back(watcher);
  }
}

void Fan::Rows(const std::shared_ptr<BufferedWatcher>& watcher,
               absl::StatusOr<std::vector<BackupRecord>> rows, int64_t read_at) {
  bool ready = false;
  {
    MutexLock lock(&mu_);
    ready = rows.ok() ? watcher->TakeRows(*std::move(rows), read_at, published_)
                      : watcher->End(rows.status());
  }
  if (ready) watcher->on_ready();
}

void Fan::Close() {
  Watchers held;
  Watchers ready;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    Hold(held);
    for (const auto& watcher : held) {
      if (watcher->End(std::nullopt)) ready.push_back(watcher);
    }
  }
  TellReady(ready);
}

class StoreWatchHub final : public WatchHub {
 public:
  StoreWatchHub(BackupStore& store, LiveState& live, WatchLimits limits)
      : store_(store), live_(live), limits_(limits), fan_(std::make_shared<Fan>()) {
    const absl::Status begun = ReadAndWait(store, [this](StoreView& view) -> absl::Status {
      absl::StatusOr<std::vector<BackupRecord>> open = view.ListOpen();
      if (!open.ok()) return open.status();
      fan_->Begin(*std::move(open), view.revision());
      return absl::OkStatus();
    });
    if (!begun.ok()) log::Error("watch_hub_begins_empty", {{"error", begun.message()}});
  }
  ~StoreWatchHub() override { fan_->Close(); }

  std::shared_ptr<Watcher> Watch(Request request, std::function<void()> on_ready) override {
    const auto read = [&store = store_, weak_fan = std::weak_ptr<Fan>(fan_)](
                          const std::shared_ptr<BufferedWatcher>& watcher, BackupQuery query) {
      if (!weak_fan.expired()) ReadRows(store, weak_fan, watcher, std::move(query));
    };
    // Registered first, read then.
    std::shared_ptr<BufferedWatcher> watcher = fan_->Add([&](int64_t published) {
      return BufferedWatcher::Make(request, limits_, live_, published, read, std::move(on_ready));
    });
    watcher->Start();
    return watcher;
  }

  void PublishCommitted(const std::vector<BackupRecord>& records) override {
    fan_->Changed(records);
  }
  void PublishLive(const BackupId& id) override { fan_->Live(id); }
  void PublishVm(const BackupId& id) override {
    // On the writer, though it writes nothing: there it is the newest that was published.
    store_.Commit(
        [id](StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
          absl::StatusOr<std::optional<BackupRecord>> found = transaction.Get(kAnyProject, id);
          if (!found.ok()) return found.status();
          std::vector<BackupRecord> records;
          if (found->has_value()) records.push_back(**std::move(found));
          return records;
        },
        [weak_fan =
             std::weak_ptr<Fan>(fan_)](const absl::StatusOr<std::vector<BackupRecord>>& found) {
          const std::shared_ptr<Fan> fan = weak_fan.lock();
          if (fan == nullptr || !found.ok() || found->empty()) return;
          fan->Live(std::make_shared<const BackupRecord>(found->front()));
        });
  }
  void Close() override { fan_->Close(); }

 private:
  static void ReadRows(BackupStore& store, const std::weak_ptr<Fan>& weak_fan,
                       const std::weak_ptr<BufferedWatcher>& weak_watcher, BackupQuery query) {
    store.Read([weak_fan, weak_watcher, query = std::move(query)](absl::StatusOr<StoreView*> view) {
      const std::shared_ptr<BufferedWatcher> watcher = weak_watcher.lock();
      const std::shared_ptr<Fan> fan = weak_fan.lock();
      if (watcher == nullptr || fan == nullptr) return;
      if (view.ok()) {
        fan->Rows(watcher, (*view)->List(query), (*view)->revision());
      } else {
        fan->Rows(watcher, view.status(), 0);
      }
    });
  }

  BackupStore& store_;
  LiveState& live_;
  const WatchLimits limits_;
  const std::shared_ptr<Fan> fan_;
};

}  // namespace

std::unique_ptr<WatchHub> MakeWatchHub(BackupStore& store, LiveState& live, WatchLimits limits) {
  return std::make_unique<StoreWatchHub>(store, live, limits);
}

}  // namespace vmkeep::controller
