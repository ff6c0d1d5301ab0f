#include "controller/dispatch/dispatcher.h"

#include "controller/dispatch/errors.h"

#include <utility>

namespace vmkeep::controller {
namespace {

// Answers exactly once: with what it is told, else with "shutting down" when the last holder drops
// it.
class Answer {
 public:
  using Done = std::function<void(absl::StatusOr<RepositoryRecord>)>;
  explicit Answer(Done done) : done_(std::move(done)) {}
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() { Give(absl::UnavailableError("the controller is shutting down")); }

  void Give(absl::StatusOr<RepositoryRecord> answer) {
    if (done_) std::exchange(done_, nullptr)(std::move(answer));
  }

 private:
  Done done_;
};

}  // namespace

void Dispatcher::SyncHosts() {
  if (sync_posted_.exchange(true)) return;
  context_.loop->Post([this] { SyncHostsHere(); });
}

void Dispatcher::SyncHostsHere() {
  sync_posted_ = false;
  std::map<HostId, std::shared_ptr<HostLink>> before = std::exchange(links_, {});
  for (const HostView& host : context_.inventory.ListHosts()) {
    auto& link = links_[host.record.id];
    if (const auto known = before.find(host.record.id); known != before.end()) {
      link = std::move(known->second);
      before.erase(known);
      link->Follow(host.record);
      continue;
    }
    link = std::make_shared<HostLink>(context_, host.record);
    link->Connect();
  }
  for (const auto& [id, link] : before) {
    context_.hooks.offline(id, "it is not registered any more");
  }
}

HostLink* Dispatcher::Find(const HostId& host) const {
  const auto found = links_.find(host);
  return found == links_.end() ? nullptr : found->second.get();
}

void Dispatcher::StartTask(const BackupRecord& record, std::function<void(absl::Status)> done) {
  HostLink* link = Find(record.host_id);
  if (link == nullptr) return done(error::HostUnreachable(record.host_id, "it is not registered"));
  link->StartTask(record, std::move(done));
}

void Dispatcher::CancelTask(const HostId& host, const TaskRef& task,
                            const std::function<void(absl::StatusOr<bool>)>& done) {
  HostLink* link = Find(host);
  if (link == nullptr) return done(error::HostUnreachable(host, "it is not registered"));
  link->CancelTask(task, done);
}

void Dispatcher::InitRepository(const HostId& host, int slot, bool allow_plain_directory,
                                std::function<void(absl::StatusOr<RepositoryRecord>)> done) {
  auto answer = std::make_shared<Answer>(std::move(done));
  context_.loop->Post([this, host, slot, allow_plain_directory, answer] {
    HostLink* link = Find(host);
    if (link == nullptr)
      return answer->Give(error::HostUnreachable(host, "it is not connected yet"));
    link->InitRepository(slot, allow_plain_directory,
                         [answer](absl::StatusOr<RepositoryRecord> repository) {
                           answer->Give(std::move(repository));
                         });
  });
}

}  // namespace vmkeep::controller
