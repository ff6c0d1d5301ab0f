#include "tests/fakes/fake_executor_client.h"

#include "common/error.h"
#include "common/uuid.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include <algorithm>
#include <utility>

namespace vmkeep::test {
namespace {

using controller::BackupRecord;
using controller::ExecutorEvent;
using controller::TaskEnded;
using controller::TaskRef;

absl::Status Unreachable() { return absl::UnavailableError("connection refused"); }

}  // namespace

// What the test says.

void FakeExecutor::AddVm(const std::string& uuid, const std::string& name,
                         controller::PowerState power) {
  {
    MutexLock lock(&mu_);
    controller::VmRecord vm;
    vm.uuid = uuid;
    vm.name = name;
    vm.power = power;
    inventory_.vms.push_back(vm);
  }
  InventoryMoved();
}

void FakeExecutor::SetPower(const std::string& uuid, controller::PowerState power) {
  {
    MutexLock lock(&mu_);
    for (auto& vm : inventory_.vms) {
      if (vm.uuid == uuid) vm.power = power;
    }
  }
  InventoryMoved();
}

void FakeExecutor::SetOverlay(const std::string& uuid,
                              const std::optional<controller::Overlay>& overlay) {
  {
    MutexLock lock(&mu_);
    for (auto& vm : inventory_.vms) {
      if (vm.uuid == uuid) vm.overlay = overlay;
    }
  }
  InventoryMoved();
}

void FakeExecutor::SetRepository(int slot, controller::Health health, const std::string& id) {
  {
    MutexLock lock(&mu_);
    auto& all = inventory_.repositories;
    auto at = std::find_if(all.begin(), all.end(), [&](const auto& r) { return r.slot == slot; });
    if (at == all.end()) at = all.emplace(all.end());
    at->slot = slot;
    if (!id.empty()) at->id = id;
    at->path = slot == 1 ? "/mnt/backup-p" : "/mnt/backup-s";
    at->total_bytes = int64_t{1} << 40;
    at->free_bytes = int64_t{1} << 39;
    at->health = health;
    at->probe_time = absl::Now();
  }
  InventoryMoved();
}

void FakeExecutor::FailInventory(absl::Status status) {
  {
    MutexLock lock(&mu_);
    inventory_status_ = std::move(status);
  }
  InventoryMoved();
}

void FakeExecutor::InventoryMoved() {
  ExecutorEvent event;
  event.body = controller::InventoryChanged{};
  Emit(event);
}

void FakeExecutor::FinishAtOnce(bool yes) {
  MutexLock lock(&mu_);
  finish_at_once_ = yes;
}

TaskEnded FakeExecutor::EndOf(const Task& task) const {
  TaskEnded ended;
  ended.outcome = task.cancelled ? controller::Outcome::kCancelled : controller::Outcome::kDone;
  if (task.cancelled || task.record.task_is_scrub) return ended;
  controller::BackupResult result;
  result.time_valid = absl::Now();
  result.consistency = controller::Consistency::kFilesystem;
  result.virtual_bytes = 1 << 30;
  result.data_bytes = 1 << 20;
  result.stored_bytes = 1 << 20;
  result.manifest_sha256 = std::string(64, 'a');
  result.simulated = true;
  ended.backup = result;
  ended.snapshot_taken = true;
  return ended;
}

bool FakeExecutor::Finish(const controller::BackupId& backup) {
  std::optional<TaskEnded> ended;
  {
    MutexLock lock(&mu_);
    for (const Task& task : tasks_) {
      if (task.record.id == backup && !task.ended) ended = EndOf(task);
    }
  }
  return ended && Finish(backup, *ended);
}

bool FakeExecutor::Finish(const controller::BackupId& backup, TaskEnded ended) {
  ExecutorEvent event;
  {
    MutexLock lock(&mu_);
    const auto task = std::find_if(tasks_.begin(), tasks_.end(), [&](const Task& t) {
      return t.record.id == backup && !t.ended;
    });
    if (task == tasks_.end()) return false;
    task->ended = true;
    event.sequence = ++sequence_;
    event.task = task->ref();
  }
  event.time = absl::Now();
  event.backup_id = backup;
  event.body = std::move(ended);
  Emit(std::move(event));
  return true;
}

void FakeExecutor::ReportProgress(const controller::BackupId& backup, int64_t bytes_done) {
  ExecutorEvent event;
  {
    MutexLock lock(&mu_);
    for (const Task& task : tasks_) {
      if (task.record.id == backup && !task.ended) event.task = task.ref();
    }
  }
  event.time = absl::Now();
  event.backup_id = backup;
  controller::TaskProgress progress;
  progress.progress.phase = controller::Phase::kCopying;
  progress.progress.bytes_done = bytes_done;
  progress.progress.bytes_total = 1 << 30;
  event.body = progress;
  Emit(std::move(event));
}

void FakeExecutor::Emit(ExecutorEvent event) {
  std::function<void(std::vector<ExecutorEvent>)> batch;
  {
    MutexLock lock(&mu_);
    if (event.sequence > 0) events_.push_back(event);
    if (stream_ && reachable_ && !silent_) batch = stream_->batch;
  }
  if (batch) batch({std::move(event)});
}

void FakeExecutor::SetReachable(bool reachable) {
  {
    MutexLock lock(&mu_);
    reachable_ = reachable;
  }
  if (!reachable) BreakStream();
}

void FakeExecutor::SetSilent(bool silent) {
  MutexLock lock(&mu_);
  silent_ = silent;
}

void FakeExecutor::LoseAcks(bool yes) {
  MutexLock lock(&mu_);
  lose_acks_ = yes;
}

void FakeExecutor::BreakStream() {
  std::optional<Stream> stream;
  {
    MutexLock lock(&mu_);
    stream = std::exchange(stream_, std::nullopt);
  }
  if (stream) stream->ended(absl::UnavailableError("connection reset"));
}

void FakeExecutor::SetExecutorId(const std::string& id) {
  MutexLock lock(&mu_);
  executor_id_ = id;
}

void FakeExecutor::SetProtocol(int protocol) {
  MutexLock lock(&mu_);
  protocol_ = protocol;
}

void FakeExecutor::RefuseStarts(int count, absl::Status status) {
  MutexLock lock(&mu_);
  refuse_starts_ = count;
  refusal_ = std::move(status);
}

void FakeExecutor::LoseStartAnswers(int count) {
  MutexLock lock(&mu_);
  lose_answers_ = count;
}

std::vector<FakeExecutor::Task> FakeExecutor::tasks() const {
  MutexLock lock(&mu_);
  return tasks_;
}
int FakeExecutor::accepted() const {
  MutexLock lock(&mu_);
  return static_cast<int>(std::count_if(tasks_.begin(), tasks_.end(),
                                        [](const Task& t) { return !t.record.id.empty(); }));
}
int FakeExecutor::most_at_once() const {
  MutexLock lock(&mu_);
  return most_at_once_;
}
int64_t FakeExecutor::acknowledged() const {
  MutexLock lock(&mu_);
  return acknowledged_;
}
int FakeExecutor::connections() const {
  MutexLock lock(&mu_);
  return connections_;
}

// What the controller says.

absl::Status FakeExecutor::Check() const { return reachable_ ? absl::OkStatus() : Unreachable(); }

int FakeExecutor::Unfinished() const {
  return static_cast<int>(
      std::count_if(tasks_.begin(), tasks_.end(), [](const Task& t) { return !t.ended; }));
}

absl::StatusOr<bool> FakeExecutor::Start(const BackupRecord& record) {
  bool finish = false;
  {
    MutexLock lock(&mu_);
    if (!reachable_) return Unreachable();
    if (refuse_starts_ > 0) {
      --refuse_starts_;
      return refusal_;
    }
    const TaskRef ref{record.task_id, record.epoch};
    for (const Task& task : tasks_) {
      if (task.ref() == ref) return true;
    }
    if (record.epoch <= std::max(highest_epoch_[record.id], fenced_[record.id])) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "STALE_EPOCH",
                       "a higher epoch was seen");
    }
    for (const Task& task : tasks_) {
      if (!task.ended && task.record.vm_uuid == record.vm_uuid) {
        return MakeError(absl::StatusCode::kFailedPrecondition, "VM_BUSY",
                         "another task of this VM");
      }
    }
    highest_epoch_[record.id] = record.epoch;
    tasks_.push_back({record, false, false});
    most_at_once_ = std::max(most_at_once_, Unfinished());
    if (lose_answers_ > 0) {
      --lose_answers_;
      return absl::DeadlineExceededError("the answer was lost");
    }
    finish = finish_at_once_;
  }
  if (finish) Finish(record.id);
  return false;
}

absl::StatusOr<bool> FakeExecutor::Cancel(const TaskRef& ref) {
  std::optional<controller::BackupId> stopped;
  {
    MutexLock lock(&mu_);
    if (!reachable_) return Unreachable();
    for (Task& task : tasks_) {
      if (!(task.ref() == ref) || task.ended) continue;
      task.cancelled = true;
      stopped = task.record.id;
    }
    if (stopped && !finish_at_once_) return true;  // the test ends it
    if (!stopped) {
      // Of which backup it would have been is not known: no task of this id will be accepted.
      for (const Task& task : tasks_) {
        if (task.ref() == ref) return false;
      }
      tasks_.push_back({});
      tasks_.back().record.task_id = ref.task_id;
      tasks_.back().record.epoch = ref.epoch;
      tasks_.back().ended = true;
      return false;
    }
  }
  Finish(*stopped);
  return true;
}

controller::RepositoryRecord FakeExecutor::Init(int slot) {
  std::string id = NewUuid4();
  {
    MutexLock lock(&mu_);
    for (const auto& repository : inventory_.repositories) {
      if (repository.slot == slot && !repository.id.empty()) id = repository.id;
    }
  }
  SetRepository(slot, controller::Health::kHealthy, id);
  MutexLock lock(&mu_);
  for (const auto& repository : inventory_.repositories) {
    if (repository.slot == slot) return repository;
  }
  return {};
}

int64_t FakeExecutor::OpenStream(int64_t after, Stream stream) {
  std::vector<ExecutorEvent> missed;
  const auto batch = stream.batch;
  const auto ended = stream.ended;
  int64_t number = 0;
  bool reachable = false;
  bool silent = false;
  {
    MutexLock lock(&mu_);
    number = stream.number = ++next_stream_;
    reachable = reachable_;
    silent = silent_;
    for (const ExecutorEvent& event : events_) {
      if (event.sequence > after) missed.push_back(event);
    }
    if (reachable) stream_ = std::move(stream);
  }
  if (!reachable) {
    ended(Unreachable());
  } else if (!silent) {
    batch(std::move(missed));
  }
  return number;
}

void FakeExecutor::CloseStream(int64_t number) {
  MutexLock lock(&mu_);
  if (stream_ && stream_->number == number) stream_.reset();
}

FakeExecutorClient::~FakeExecutorClient() { host_->CloseStream(stream_); }

void FakeExecutorClient::SayHello(const std::string& /*controller_id*/, Callback<Hello> done) {
  absl::StatusOr<Hello> answer = Hello();
  {
    MutexLock lock(&host_->mu_);
    ++host_->connections_;
    answer->host.executor_id = host_->executor_id_;
    answer->host.hostname = "fake";
    answer->host.hypervisor = "sim";
    answer->host.simulated = true;
    answer->host.version = "0";
    answer->last_sequence = host_->sequence_;
    answer->protocol = host_->protocol_;
    if (!host_->reachable_) answer = Unreachable();
  }
  done(std::move(answer));
}

void FakeExecutorClient::StartTask(const BackupRecord& record, Callback<bool> done) {
  done(host_->Start(record));
}

void FakeExecutorClient::CancelTask(const TaskRef& task, Callback<bool> done) {
  done(host_->Cancel(task));
}

void FakeExecutorClient::ListTasks(Callback<std::vector<controller::KnownTask>> done) {
  std::vector<controller::KnownTask> tasks;
  absl::Status status;
  {
    MutexLock lock(&host_->mu_);
    status = host_->Check();
    for (const FakeExecutor::Task& task : host_->tasks_) {
      const bool unreported = std::any_of(
          host_->events_.begin(), host_->events_.end(), [&](const ExecutorEvent& event) {
            return event.task == task.ref() && std::holds_alternative<TaskEnded>(event.body);
          });
      if (!task.ended || unreported) tasks.push_back({task.ref(), task.record.id, task.ended});
    }
  }
  if (!status.ok()) return done(status);
  done(std::move(tasks));
}

void FakeExecutorClient::GetInventory(Callback<controller::HostInventory> done) {
  absl::StatusOr<controller::HostInventory> answer;
  {
    MutexLock lock(&host_->mu_);
    answer = host_->inventory_;
    if (!host_->inventory_status_.ok()) answer = host_->inventory_status_;
    if (!host_->reachable_) answer = Unreachable();
  }
  done(std::move(answer));
}

void FakeExecutorClient::InitRepository(int slot, bool /*allow_plain_directory*/,
                                        Callback<controller::RepositoryRecord> done) {
  absl::Status status;
  {
    MutexLock lock(&host_->mu_);
    status = host_->Check();
  }
  if (!status.ok()) return done(status);
  done(host_->Init(slot));
}

void FakeExecutorClient::AckEvents(int64_t sequence, Callback<bool> done) {
  bool lost = false;
  {
    MutexLock lock(&host_->mu_);
    lost = host_->lose_acks_;
  }
  if (lost) return done(Unreachable());
  {
    MutexLock lock(&host_->mu_);
    host_->acknowledged_ = std::max(host_->acknowledged_, sequence);
    std::erase_if(host_->events_,
                  [&](const ExecutorEvent& event) { return event.sequence <= sequence; });
  }
  done(true);
}

void FakeExecutorClient::StreamEvents(int64_t after_sequence,
                                      std::function<void(std::vector<ExecutorEvent>)> batch,
                                      std::function<void(absl::Status)> ended) {
  stream_ = host_->OpenStream(after_sequence, {0, std::move(batch), std::move(ended)});
}

}  // namespace vmkeep::test
