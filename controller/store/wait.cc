#include "controller/store/backup_store.h"

#include <future>
#include <utility>
#include <vector>

namespace vmkeep::controller {

absl::StatusOr<std::vector<BackupRecord>> CommitAndWait(BackupStore& store,
                                                        BackupStore::Mutation mutation) {
  std::promise<absl::StatusOr<std::vector<BackupRecord>>> promise;
  store.Commit(std::move(mutation),
               [&promise](const absl::StatusOr<std::vector<BackupRecord>>& result) {
                 promise.set_value(result);
               });
  return promise.get_future().get();
}

absl::Status ReadAndWait(BackupStore& store, const std::function<absl::Status(StoreView&)>& query) {
  std::promise<absl::Status> promise;
  store.Read([&](absl::StatusOr<StoreView*> view) {
    promise.set_value(view.ok() ? query(**view) : view.status());
  });
  return promise.get_future().get();
}

}  // namespace vmkeep::controller
