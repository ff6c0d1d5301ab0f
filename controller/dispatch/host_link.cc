#include "controller/dispatch/host_link.h"

#include "common/error.h"
#include "common/log.h"
#include "common/version.h"
#include "controller/dispatch/errors.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

namespace vmkeep::controller {
namespace {

// More events than this waiting for the store: the stream is dropped and later read again from
// where it is durable.
constexpr size_t kMaxQueuedEvents = 20'000;

// Only a person can make it right: said as REFUSED, not as UNREACHABLE.
bool IsRefused(const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  return reason == "HOST_CHANGED" || reason == "EXECUTOR_TAKEN" || reason == "PROTOCOL_MISMATCH" ||
         reason == "INSECURE_LISTENER";
}

}  // namespace

HostLink::HostLink(const HostLinkContext& context, const HostRecord& host)
    : context_(context),
      id_(host.id),
      address_(host.address),
      executor_id_(host.executor_id),
      backoff_(context.options.retry_first, context.options.retry_max,
               context.options.seed ^ std::hash<std::string>()(id_)) {}

template <typename T>
std::function<void(T)> HostLink::Here(Next<T> next) {
  return [weak = weak_from_this(), loop = context_.loop, generation = generation_, next](T answer) {
    loop->Post([weak, generation, next, answer = std::move(answer)]() mutable {
      const auto self = weak.lock();
      if (self != nullptr && self->generation_ == generation) {
        ((*self).*next)(std::move(answer));
      }
    });
  };
}

template <typename T>
std::function<void(T)> HostLink::There(std::function<void(T)> done) {
  return [loop = context_.loop, done = std::move(done)](T answer) {
    loop->Post([done, answer = std::move(answer)]() mutable { done(std::move(answer)); });
  };
}

void HostLink::After(absl::Duration delay, void (HostLink::*next)()) {
  context_.loop->PostAfter(delay, [weak = weak_from_this(), generation = generation_, next] {
    const auto self = weak.lock();
    if (self != nullptr && self->generation_ == generation) ((*self).*next)();
  });
}

// Coming up.

void HostLink::Connect() {
  ++generation_;
  auto client = context_.dial(address_);
  if (!client.ok()) {
    Disconnect(client.status());
    return;
  }
  client_ = *std::move(client);
  client_->SayHello(context_.controller_id, Here(&HostLink::OnHello));
}

void HostLink::Follow(const HostRecord& host) {
  const bool replaced = !executor_id_.empty() && host.executor_id != executor_id_;
  executor_id_ = host.executor_id;
  if (host.address == address_ && !replaced) return;
  address_ = host.address;
  Disconnect(error::HostUnreachable(
      id_, replaced ? "its executor was replaced" : "its address was changed"));
  backoff_.Reset();
  Connect();
}

void HostLink::OnHello(absl::StatusOr<ExecutorClient::Hello> hello) {
  if (!hello.ok()) return Disconnect(hello.status());
  if (hello->protocol < kProtocolMin || hello->protocol > kProtocolMax) {
    return Disconnect(error::ProtocolMismatch(hello->host.version, hello->protocol));
  }
  const auto known = context_.inventory.GetHost(id_);
  const int64_t durable = known ? known->record.acknowledged_sequence : 0;
  // A journal that is behind what it reported before was put back from a copy: read all it has,
  // what is known already changes nothing.
  if (hello->last_sequence < durable) {
    log::Warning("host_journal_behind",
                 {{"host", id_}, {"durable", durable}, {"journal", hello->last_sequence}});
  }
  stream_after_ = std::min(durable, hello->last_sequence);
  // Whether it heard of the last acknowledgement is not known: it is told again, or what is behind
  // it stays in its journal until something happens on that host.
  recorded_ = stream_after_;
  acknowledged_ = 0;
  speaking_ = hello->host.executor_id;
  HostRecord seen = hello->host;
  seen.id = id_;
  seen.address = address_;
  context_.inventory.RecordHello(seen, Here(&HostLink::OnHelloRecorded));
}

void HostLink::OnHelloRecorded(const absl::Status& status) {
  if (!status.ok()) return Disconnect(status);
  context_.inventory.RecordSeen(id_);
  client_->GetInventory(Here(&HostLink::OnFirstInventory));
}

void HostLink::OnFirstInventory(absl::StatusOr<HostInventory> inventory) {
  if (!inventory.ok()) return Disconnect(inventory.status());
  context_.inventory.RecordInventory(id_, std::move(inventory->vms),
                                     std::move(inventory->repositories));
  client_->ListTasks(Here(&HostLink::OnTasks));
}

void HostLink::OnTasks(absl::StatusOr<std::vector<KnownTask>> tasks) {
  if (!tasks.ok()) return Disconnect(tasks.status());
  online_ = true;
  why_offline_.clear();
  log::Info("host_online", {{"host", id_}, {"tasks", tasks->size()}});
  context_.inventory.SetAvailability(id_, Availability::kOnline, "");
  context_.hooks.online(id_, *std::move(tasks));
  last_heard_ = context_.clock.Monotonic();
  client_->StreamEvents(stream_after_, Here(&HostLink::OnBatch), Here(&HostLink::OnStreamEnded));
  Acknowledge();
  After(context_.options.silence, &HostLink::CheckSilence);
  After(context_.options.inventory_every, &HostLink::RefreshNowAndThen);
}

// Events.

void HostLink::OnBatch(std::vector<ExecutorEvent> events) {
  last_heard_ = context_.clock.Monotonic();
  context_.inventory.RecordSeen(id_);
  backoff_.Reset();
  const bool inventory_changed =
      std::any_of(events.begin(), events.end(), [](const ExecutorEvent& event) {
        return std::holds_alternative<InventoryChanged>(event.body);
      });
  queued_.insert(queued_.end(), std::make_move_iterator(events.begin()),
                 std::make_move_iterator(events.end()));
  if (queued_.size() > kMaxQueuedEvents) {
    Disconnect(absl::ResourceExhaustedError("its events come faster than they can be stored"));
    return;
  }
  RecordNext();
  if (inventory_changed) RefreshInventory();
}

// One call at a time: were a later one recorded and acknowledged after an earlier one failed, the
// earlier events would be lost.
void HostLink::RecordNext() {
  if (recording_ || queued_.empty()) return;
  recording_ = true;
  context_.hooks.record(id_, speaking_, std::exchange(queued_, {}), Here(&HostLink::OnRecorded));
}

void HostLink::OnRecorded(absl::StatusOr<int64_t> sequence) {
  recording_ = false;
  // Not durable, so not acknowledged: the executor keeps the events and sends them again.
  if (!sequence.ok()) return Disconnect(sequence.status());
  recorded_ = std::max(recorded_, *sequence);
  context_.inventory.RecordAcknowledged(id_, recorded_);
  Acknowledge();
  RecordNext();
}

void HostLink::Acknowledge() {
  if (acknowledging_ || recorded_ <= acknowledged_) return;
  acknowledging_ = true;
  acknowledged_ = recorded_;
  client_->AckEvents(acknowledged_, Here(&HostLink::OnAcknowledged));
}

// A lost acknowledgement is covered by the next one; on a quiet host that is this one again.
void HostLink::OnAcknowledged(const absl::StatusOr<bool>& answer) {
  acknowledging_ = false;
  if (answer.ok()) return Acknowledge();
  acknowledged_ = 0;
  After(context_.options.retry_first, &HostLink::Acknowledge);
}

void HostLink::OnStreamEnded(const absl::Status& status) {
  Disconnect(status.ok() ? absl::UnavailableError("its executor ended the stream") : status);
}

void HostLink::CheckSilence() {
  const absl::Duration silent = context_.clock.Monotonic() - last_heard_;
  if (silent >= context_.options.silence) return Disconnect(error::ExecutorSilent(silent));
  After(context_.options.silence - silent, &HostLink::CheckSilence);
}

void HostLink::Disconnect(const absl::Status& why) {
  ++generation_;
  client_.reset();
  queued_.clear();
  recording_ = acknowledging_ = refreshing_ = refresh_again_ = false;
  for (const auto& done : std::exchange(after_refresh_, {})) done();
  for (const auto& done : std::exchange(after_next_refresh_, {})) done();
  const std::string message(why.message());
  if (online_ || message != why_offline_) {
    log::Warning("host_offline", {{"host", id_}, {"address", address_}, {"why", message}});
  }
  online_ = false;
  why_offline_ = message;
  context_.inventory.SetAvailability(
      id_, IsRefused(why) ? Availability::kRefused : Availability::kUnreachable, message);
  context_.hooks.offline(id_, message);
  After(backoff_.Next(), &HostLink::Connect);
}

// Inventory.

void HostLink::RefreshInventory() {
  if (refreshing_) {
    refresh_again_ = true;
    return;
  }
  refreshing_ = true;
  after_refresh_ = std::exchange(after_next_refresh_, {});
  client_->GetInventory(Here(&HostLink::OnInventory));
}

void HostLink::OnInventory(absl::StatusOr<HostInventory> inventory) {
  refreshing_ = false;
  if (inventory.ok()) {
    context_.inventory.RecordInventory(id_, std::move(inventory->vms),
                                       std::move(inventory->repositories));
    context_.inventory.SetAvailability(id_, Availability::kOnline, "");
  } else {
    const absl::string_view why = inventory.status().message();
    log::Warning("host_inventory_failed", {{"host", id_}, {"why", why}});
    context_.inventory.SetAvailability(id_, Availability::kOnline,
                                       absl::StrCat("its VMs cannot be listed: ", why));
  }
  for (const auto& done : std::exchange(after_refresh_, {})) done();
  if (std::exchange(refresh_again_, false)) RefreshInventory();
}

void HostLink::RefreshNowAndThen() {
  RefreshInventory();
  After(context_.options.inventory_every, &HostLink::RefreshNowAndThen);
}

// Calls.

absl::Status HostLink::NotConnected() const { return error::HostUnreachable(id_, why_offline_); }

void HostLink::StartTask(const BackupRecord& record, std::function<void(absl::Status)> done) {
  if (!online_) return done(NotConnected());
  auto answer = There<absl::StatusOr<bool>>(
      [done = std::move(done)](const absl::StatusOr<bool>& known) { done(known.status()); });
  client_->StartTask(record, std::move(answer));
}

void HostLink::CancelTask(const TaskRef& task,
                          const std::function<void(absl::StatusOr<bool>)>& done) {
  if (!online_) return done(NotConnected());
  // "Not known" is also said of a task that ended and whose end is still to be reported: only one
  // that is not listed either is gone.
  auto list = [weak = weak_from_this(), task, done](const absl::StatusOr<bool>& known) {
    const auto self = weak.lock();
    if (!known.ok() || *known)
      return done(known.ok() ? absl::StatusOr<bool>(false) : known.status());
    if (self == nullptr || !self->online_) return done(absl::UnavailableError("disconnected"));
    self->client_->ListTasks(self->There<absl::StatusOr<std::vector<KnownTask>>>(
        [task, done](absl::StatusOr<std::vector<KnownTask>> tasks) {
          if (!tasks.ok()) return done(tasks.status());
          done(std::none_of(tasks->begin(), tasks->end(),
                            [&](const KnownTask& known_task) { return known_task.task == task; }));
        }));
  };
  client_->CancelTask(task, There<absl::StatusOr<bool>>(std::move(list)));
}

void HostLink::InitRepository(int slot, bool allow_plain_directory,
                              const std::function<void(absl::StatusOr<RepositoryRecord>)>& done) {
  if (!online_) return done(NotConnected());
  auto refresh = [weak = weak_from_this(), done](absl::StatusOr<RepositoryRecord> repository) {
    const auto self = weak.lock();
    if (!repository.ok() || self == nullptr || !self->online_) return done(std::move(repository));
    repository->host_id = self->id_;
    // The refresh under way may have looked before: answered after one that begins now or later.
    self->after_next_refresh_.emplace_back([done, repository] { done(repository); });
    self->RefreshInventory();
  };
  client_->InitRepository(slot, allow_plain_directory,
                          There<absl::StatusOr<RepositoryRecord>>(std::move(refresh)));
}

}  // namespace vmkeep::controller
