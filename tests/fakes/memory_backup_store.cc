#include "tests/fakes/memory_backup_store.h"

#include "common/mutex.h"
#include "common/queue.h"
#include "common/uuid.h"
#include "controller/domain/errors.h"
#include "tests/fakes/memory_store_content.h"

#include "absl/strings/str_cat.h"
#include <unistd.h>

#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {
namespace {

using Records = std::vector<BackupRecord>;

struct Named {
  std::string controller_id = NewUuid4();
  MemoryStoreContent content;
  bool open = false;
};

struct Registry {
  Mutex mu;
  std::map<std::string, std::shared_ptr<Named>> stores ABSL_GUARDED_BY(mu);
};
Registry& AllStores() {
  static Registry& registry = *new Registry();
  return registry;
}

}  // namespace

class MemoryBackupStore::Impl {
 public:
  Impl(std::shared_ptr<Named> named, Clock& clock) : named_(std::move(named)), clock_(clock) {
    thread_ = std::thread([this] {
      while (const std::optional<std::function<void()>> next = queue_.Pop()) (*next)();
    });
  }
  ~Impl() {
    queue_.Close();
    thread_.join();
    MutexLock lock(&AllStores().mu);
    named_->open = false;
  }

  void Commit(const Mutation& mutation, const Done& done) {
    const bool taken = queue_.Push([this, mutation, done] {
      Records put;
      const absl::StatusOr<Records> result = Mutate(named_->content, clock_, mutation, put);
      if (!put.empty() && observer_) observer_(put);
      done(result);
    });
    if (!taken) done(error::StoreClosed());
  }
  void Read(const Query& query) {
    const bool taken = queue_.Push([this, query] { Look(named_->content, clock_, query); });
    if (!taken) query(error::StoreClosed());
  }
  std::string controller_id() const { return named_->controller_id; }
  void SetObserver(Observer observer) { observer_ = std::move(observer); }

 private:
  const std::shared_ptr<Named> named_;  // its content is the thread's
  Clock& clock_;
  Observer observer_;
  Queue<std::function<void()>> queue_;
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<MemoryBackupStore>> MemoryBackupStore::Open(const std::string& name,
                                                                           Clock& clock) {
  MutexLock lock(&AllStores().mu);
  std::shared_ptr<Named>& named = AllStores().stores[name];
  if (named == nullptr) named = std::make_shared<Named>();
  if (named->open) {
    return error::StoreLocked(name, absl::StrCat("another controller (process ", getpid(), ")"));
  }
  named->open = true;
  return std::unique_ptr<MemoryBackupStore>(
      new MemoryBackupStore(std::make_unique<Impl>(named, clock)));
}

MemoryBackupStore::MemoryBackupStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MemoryBackupStore::~MemoryBackupStore() = default;

void MemoryBackupStore::Commit(Mutation mutation, Done done) { impl_->Commit(mutation, done); }
void MemoryBackupStore::Read(Query query) { impl_->Read(query); }
std::string MemoryBackupStore::controller_id() const { return impl_->controller_id(); }
void MemoryBackupStore::SetObserver(Observer observer) { impl_->SetObserver(std::move(observer)); }

}  // namespace vmkeep::controller::test
