#include "tests/integration/controller/walk/walk_world.h"

#include "common/error.h"
#include "controller/service/convert.h"
#include "controller/service/create_backup.h"
#include "controller/service/retry_backup.h"
#include "controller/service/update_backup.h"
#include "tests/contract/store/sample_records.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>
#include <variant>

namespace vmkeep::controller::test {
namespace {

constexpr char kNobody[] = "01890a5d-ac96-774b-bcce-b302099a8057";

// Waits for the one answer of a call that takes a callback.
template <typename T, typename Call>
T Wait(Call call) {
  std::promise<T> answer;
  call([&](const T& got) { answer.set_value(got); });
  return answer.get_future().get();
}

}  // namespace

WalkWorld::WalkWorld(StoreKind kind) : kind_(std::move(kind)) {
  for (const HostId id : {"kvm-1", "kvm-2"}) {
    hosts_[id] = std::make_unique<WalkHost>(id, disks_);
    online_[id] = false;
  }
  Begin();
}

WalkWorld::~WalkWorld() { store_.reset(); }

void WalkWorld::Begin() {
  auto store = kind_.open(folder_.path(), clock_);
  ASSERT_THAT(store, vmkeep::test::IsOk());
  store_ = *std::move(store);
  inventory_ = std::make_unique<Inventory>(*store_, clock_);
  live_ = std::make_unique<LiveState>(clock_);
  recorder_ = std::make_unique<Recorder>(*store_, *live_, clock_);
  SchedulerOptions options;
  options.tasks_per_repository = 3;
  options.seed = 7;
  core_ = std::make_unique<SchedulerCore>(options);
  store_->SetObserver([this](const std::vector<BackupRecord>& records) {
    MutexLock lock(&mu_);
    for (const BackupRecord& record : records) {
      inbox_.emplace_back(scheduler_event::RecordChanged{record});
      paths_[record.id].push_back(record.state);
    }
  });
  ASSERT_THAT(inventory_->Load(), vmkeep::test::IsOk());
  EXPECT_THAT(ReadAndWait(*store_,
                          [this](StoreView& view) -> absl::Status {
                            VMKEEP_ASSIGN_OR_RETURN(const auto open, view.ListOpen());
                            for (const BackupRecord& record : open)
                              Push(scheduler_event::RecordChanged{record});
                            return absl::OkStatus();
                          }),
              vmkeep::test::IsOk());
  PushInventory();
  Settle();
}

void WalkWorld::Restart() {
  core_.reset();
  recorder_.reset();
  inventory_.reset();
  store_.reset();
  live_.reset();
  {
    MutexLock lock(&mu_);
    inbox_.clear();
  }
  Begin();
  for (const auto& [id, online] : std::map<HostId, bool>(online_)) {
    if (online) SetOnline(id, true);
  }
}

// The API.

WalkAnswer WalkWorld::Create(const CreateInput& input) {
  const auto record = Wait<absl::StatusOr<BackupRecord>>([&](auto done) {
    CreateBackup(*store_, *inventory_, clock_, {"alice", "local", Role::kUser}, input,
                 std::move(done));
  });
  if (record.ok() && !record->id.empty() && NumberOf(record->id) < 0) ids_.push_back(record->id);
  return AnswerOf(record);
}

WalkAnswer WalkWorld::Update(int number, UpdateInput input) {
  input.id = IdOf(number);
  return AnswerOf(Wait<absl::StatusOr<BackupRecord>>([&](auto done) {
    UpdateBackup(*store_, clock_, {"alice", "local", Role::kUser}, input, std::move(done));
  }));
}

WalkAnswer WalkWorld::Retry(int number, const std::string& etag) {
  return AnswerOf(Wait<absl::StatusOr<BackupRecord>>([&](auto done) {
    RetryBackup(*store_, *inventory_, {"alice", "local", Role::kUser}, {IdOf(number), etag},
                std::move(done));
  }));
}

WalkAnswer WalkWorld::UpdateHost(const HostId& id, const Inventory::HostChange& change) {
  const auto host = Wait<absl::StatusOr<HostView>>(
      [&](auto done) { inventory_->UpdateHost(id, change, std::move(done)); });
  PushInventory();
  return AnswerOf(host.status());
}

WalkAnswer WalkWorld::DeleteHost(const HostId& id) {
  const auto deleted =
      Wait<absl::Status>([&](auto done) { inventory_->DeleteHost(id, std::move(done)); });
  if (deleted.ok()) {
    online_[id] = false;
    Push(scheduler_event::HostOffline{id, "it is not registered any more"});
    PushInventory();
  }
  return AnswerOf(deleted);
}

WalkAnswer WalkWorld::RegisterHost(const HostId& id) {
  const auto host = Wait<absl::StatusOr<HostView>>(
      [&](auto done) { inventory_->RegisterHost(id, "unix:/run/" + id, std::move(done)); });
  return AnswerOf(host.status());
}

WalkAnswer WalkWorld::RegisterVm(const std::string& id, const std::string& uuid) {
  return AnswerOf(Wait<absl::Status>(
      [&](auto done) { inventory_->RegisterVm({"local", id, uuid}, std::move(done)); }));
}

// Around it.

void WalkWorld::SetOnline(const HostId& id, bool online) {
  online_[id] = online;
  if (!online) {
    inventory_->SetAvailability(id, Availability::kUnreachable, "cut");
    Push(scheduler_event::HostOffline{id, "cut"});
    return Settle();
  }
  HostRecord seen;
  seen.id = id;
  seen.executor_id = host(id).executor_id();
  seen.hypervisor = "sim";
  EXPECT_THAT(
      Wait<absl::Status>([&](auto done) { inventory_->RecordHello(seen, std::move(done)); }),
      vmkeep::test::IsOk());
  inventory_->RecordSeen(id);
  inventory_->RecordInventory(id, host(id).inventory().vms, host(id).inventory().repositories);
  inventory_->SetAvailability(id, Availability::kOnline, "");
  PushInventory();
  Push(scheduler_event::HostOnline{id, host(id).tasks()});
  Report(id);
}

void WalkWorld::Finish(const HostId& id, int number, const WalkEnd& end) {
  host(id).Finish(IdOf(number), end);
  Report(id);
}

void WalkWorld::ChangeVm(const HostId& id, const std::string& uuid,
                         const std::optional<VmRecord>& vm) {
  host(id).vms.erase(uuid);
  if (vm) host(id).vms.emplace(uuid, *vm);
  Report(id);
}

void WalkWorld::Report(const HostId& id) {
  if (online_[id]) {
    inventory_->RecordInventory(id, host(id).inventory().vms, host(id).inventory().repositories);
    const std::vector<ExecutorEvent> events = host(id).events();
    const auto last = Wait<absl::StatusOr<int64_t>>([&](auto done) {
      recorder_->ApplyEvents(id, host(id).executor_id(), events, std::move(done));
    });
    EXPECT_THAT(last, vmkeep::test::IsOk());
    if (last.ok()) host(id).Acknowledge(*last);
    // What is written without an answer is written now.
    EXPECT_THAT(CommitAndWait(*store_, Putting({})), vmkeep::test::IsOk());
    PushInventory();
  }
  Settle();
}

void WalkWorld::Pass(absl::Duration time) {
  clock_.Advance(time);
  Push(scheduler_event::Tick{});
  Settle();
}

// What is there.

BackupId WalkWorld::IdOf(int number) const {
  return number >= 0 && number < static_cast<int>(ids_.size()) ? ids_[number] : BackupId(kNobody);
}

int WalkWorld::NumberOf(const BackupId& id) const {
  const auto found = std::find(ids_.begin(), ids_.end(), id);
  return found == ids_.end() ? -1 : static_cast<int>(found - ids_.begin());
}

std::vector<int> WalkWorld::Running(const HostId& id) {
  std::vector<int> numbers;
  for (const auto& [backup, task] : host(id).running()) numbers.push_back(NumberOf(backup));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::map<int, std::vector<BackupState>> WalkWorld::Paths() {
  std::map<int, std::vector<BackupState>> paths;
  MutexLock lock(&mu_);
  for (const auto& [id, states] : paths_) paths[NumberOf(id)] = states;
  return paths;
}

std::vector<BackupRecord> WalkWorld::List(bool oldest_first, int page_size) {
  std::vector<BackupRecord> all;
  BackupQuery query = LocalQuery();
  query.filter.show_closed = true;
  query.oldest_first = oldest_first;
  query.limit = page_size;
  EXPECT_THAT(ReadAndWait(*store_,
                          [&](StoreView& view) -> absl::Status {
                            for (int page_number = 0; page_number < 100; ++page_number) {
                              VMKEEP_ASSIGN_OR_RETURN(const auto page, view.List(query));
                              if (page.empty()) return absl::OkStatus();
                              all.insert(all.end(), page.begin(), page.end());
                              query.after = PagePosition{page.back().create_time, page.back().id};
                            }
                            return absl::InternalError("the pages do not end");
                          }),
              vmkeep::test::IsOk());
  return all;
}

std::vector<BackupRecord> WalkWorld::Look() {
  const std::vector<BackupRecord> all = List(/*oldest_first=*/true, 1000);
  std::vector<BackupRecord> pages = List(/*oldest_first=*/false, 3);
  std::reverse(pages.begin(), pages.end());
  EXPECT_EQ(pages, all) << "the pages in the other order";
  EXPECT_EQ(all.size(), ids_.size());
  EXPECT_THAT(ReadAndWait(*store_,
                          [&](StoreView& view) -> absl::Status {
                            for (const BackupRecord& record : all) {
                              VMKEEP_ASSIGN_OR_RETURN(const auto one, view.Get("local", record.id));
                              EXPECT_EQ(one, record) << "List and Get disagree";
                            }
                            return absl::OkStatus();
                          }),
              vmkeep::test::IsOk());
  return all;
}

std::string WalkWorld::Words(const BackupRecord& record) {
  const BackupView view = live_->View(record);
  std::vector<std::string> words = {
      absl::StrCat("b", NumberOf(record.id)),
      std::string(StateName(record.state)),
      record.name,
      record.vm_id,
      record.vm_uuid,
      record.host_id,
      absl::StrCat("slot ", record.requested_repository, "/", record.repository),
      record.repository_id,
      record.placement_reason,
      absl::StrCat("epoch ", record.epoch, record.task_open ? " open" : "",
                   record.task_is_scrub ? " scrub" : "", " attempts ", record.attempts),
      absl::StrCat("reserved ", record.reserved_bytes, " stored ", record.stored_bytes),
      record.files_may_exist ? "files" : "no files",
      record.failure ? absl::StrCat(record.failure->reason, " ", record.failure->message) : "well",
      record.scrub_level,
      absl::StrCat("etag ", EtagOf(record)),
      absl::FormatTime(record.create_time, absl::UTCTimeZone()),
      absl::FormatTime(record.update_time, absl::UTCTimeZone())};
  for (const auto& [key, value] : record.labels) words.push_back(absl::StrCat(key, "=", value));
  for (const Condition& condition : view.conditions)
    words.push_back(absl::StrCat(condition.type, ": ", condition.message));
  return WithNumbers(absl::StrJoin(words, ", "));
}

std::string WalkWorld::WithNumbers(std::string text) const {
  for (size_t number = 0; number < ids_.size(); ++number) {
    absl::StrReplaceAll({{ids_[number], absl::StrCat("b", number)}}, &text);
  }
  return text;
}

WalkAnswer WalkWorld::AnswerOf(const absl::Status& status) {
  Settle();
  WalkAnswer answer;
  if (status.ok()) return answer;
  answer.reason = ErrorReason(status);
  answer.words = absl::StrCat(absl::StatusCodeToString(status.code()), " ", answer.reason, " ",
                              WithNumbers(std::string(status.message())));
  for (const auto& [key, value] : ErrorDetails(status))
    absl::StrAppend(&answer.words, " ", key, "=", WithNumbers(value));
  return answer;
}

WalkAnswer WalkWorld::AnswerOf(const absl::StatusOr<BackupRecord>& record) {
  if (!record.ok()) return AnswerOf(record.status());
  WalkAnswer answer;
  answer.number = NumberOf(record->id);
  answer.words = Words(*record);
  Settle();
  return answer;
}

// The scheduler's core and its commands.

void WalkWorld::Push(SchedulerEvent event) {
  MutexLock lock(&mu_);
  inbox_.push_back(std::move(event));
}

void WalkWorld::PushInventory() {
  scheduler_event::InventoryChanged changed{inventory_->ListAllRepositories(), {}};
  for (const HostView& host : inventory_->ListHosts()) {
    if (host.record.draining) changed.draining.insert(host.record.id);
  }
  Push(std::move(changed));
}

void WalkWorld::Settle() {
  for (int round = 0; round < 1000; ++round) {
    std::vector<SchedulerEvent> events;
    {
      MutexLock lock(&mu_);
      events.swap(inbox_);
    }
    if (events.empty()) return;
    for (const SchedulerCommand& command : core_->Step(clock_.Monotonic(), std::move(events))) {
      std::visit([this](const auto& c) { Run(c); }, command);
    }
  }
  ADD_FAILURE() << "the scheduler never comes to rest";
}

Recorder::Done WalkWorld::Written(const BackupId& id, std::function<void()> answered) {
  return [this, id, answered = std::move(answered)](
             const absl::StatusOr<std::vector<BackupRecord>>& written) {
    Push(scheduler_event::Written{id, written.status()});
    answered();
  };
}

void WalkWorld::Run(const scheduler_command::BeginTask& command) {
  std::promise<void> done;
  recorder_->BeginTask(command.id, command.dispatch,
                       Written(command.id, [&] { done.set_value(); }));
  done.get_future().wait();
}
void WalkWorld::Run(const scheduler_command::RejectTask& command) {
  std::promise<void> done;
  Failure failure = command.failure;
  failure.time = clock_.Now();
  recorder_->RejectTask(command.id, command.epoch, std::move(failure),
                        Written(command.id, [&] { done.set_value(); }));
  done.get_future().wait();
}
void WalkWorld::Run(const scheduler_command::CloseWithoutTask& command) {
  std::promise<void> done;
  recorder_->CloseWithoutTask(command.id, Written(command.id, [&] { done.set_value(); }));
  done.get_future().wait();
}
void WalkWorld::Run(const scheduler_command::StartTask& command) {
  const absl::Status status = online_[command.record.host_id]
                                  ? host(command.record.host_id).Start(command.record)
                                  : absl::UnavailableError("not connected");
  if (status.ok()) return Push(scheduler_event::StartAccepted{command.record.id, command.call});
  Push(scheduler_event::StartRefused{command.record.id, command.call, status});
}
void WalkWorld::Run(const scheduler_command::CancelTask& command) {
  if (!online_[command.host]) {
    return Push(scheduler_event::CancelAnswered{command.id, command.call,
                                                absl::UnavailableError("not connected"), false});
  }
  Push(scheduler_event::CancelAnswered{command.id, command.call, absl::OkStatus(),
                                       host(command.host).Cancel(command.task)});
}
void WalkWorld::Run(const scheduler_command::SetCondition& command) {
  live_->SetCondition(command.id, command.type, command.message);
}
void WalkWorld::Run(const scheduler_command::ClearCondition& command) {
  live_->ClearCondition(command.id, command.type);
}

}  // namespace vmkeep::controller::test
