#include "tests/integration/controller/controller_fixture.h"

#include "common/channel.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include <grpcpp/client_context.h>

#include <chrono>
#include <thread>
#include <utility>

namespace vmkeep::test {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

std::string AddressOf(const std::string& id) { return absl::StrCat("unix:/fake/", id); }

}  // namespace

ControllerTest::ControllerTest() {
  options_.listen = {absl::StrCat("unix:", dir_.path("c.sock"))};
  options_.state_dir = dir_.path("state");
  options_.drain_deadline = absl::Seconds(5);
  options_.bookmark_every = absl::Milliseconds(100);
  links_.retry_first = absl::Milliseconds(10);
  links_.retry_max = absl::Milliseconds(50);
  scheduler_.retry_first = absl::Milliseconds(20);
  scheduler_.retry_max = absl::Milliseconds(100);
  StartController();
}

ControllerTest::~ControllerTest() { StopController(); }

void ControllerTest::StartController() {
  auto dial = [this](const std::string& address)
      -> absl::StatusOr<std::shared_ptr<controller::ExecutorClient>> {
    MutexLock lock(&hosts_mu_);
    for (const auto& [id, executor] : hosts_) {
      if (address == AddressOf(id)) return std::make_shared<FakeExecutorClient>(executor);
    }
    return absl::UnavailableError("nobody listens there");
  };
  auto app = controller::App::Start(options_, {RealClock(), dial, links_, scheduler_});
  ASSERT_THAT(app, IsOk());
  app_ = *std::move(app);
  Reconnect();
}

void ControllerTest::Reconnect() {
  auto channel = Dial(options_.listen[0], {});
  ASSERT_THAT(channel, IsOk());
  channel_ = *channel;
  backups_ = pb::BackupService::NewStub(channel_);
  inventory_ = pb::InventoryService::NewStub(channel_);
}

void ControllerTest::StopController() { app_.reset(); }

std::string ControllerTest::VmUuid(const std::string& name) {
  return absl::StrFormat("%08x-0000-4000-8000-000000000000",
                         static_cast<uint32_t>(std::hash<std::string>()(name)));
}

FakeExecutor& ControllerTest::AddHost(const std::string& id, const std::vector<std::string>& vms,
                                      bool now) {
  auto executor = std::make_shared<FakeExecutor>("executor-of-" + id);
  for (const std::string& vm : vms) executor->AddVm(VmUuid(vm), vm);
  executor->SetRepository(1, controller::Health::kHealthy, "11111111-0000-4000-8000-000000000001");
  executor->SetRepository(2, controller::Health::kHealthy, "22222222-0000-4000-8000-000000000002");
  Replace(id, executor);
  if (now) {
    EXPECT_THAT(Register(id, AddressOf(id)), IsOk());
    AwaitHost(id, pb::Host::ONLINE);
  }
  return *executor;
}

FakeExecutor& ControllerTest::host(const std::string& id) {
  MutexLock lock(&hosts_mu_);
  return *hosts_.at(id);
}

void ControllerTest::Replace(const std::string& id, std::shared_ptr<FakeExecutor> executor) {
  MutexLock lock(&hosts_mu_);
  hosts_[id] = std::move(executor);
}

absl::StatusOr<pb::Host> ControllerTest::Register(const std::string& id,
                                                  const std::string& address) {
  pb::RegisterHostRequest request;
  request.set_id(id);
  request.set_address(address);
  return Do<pb::Host>(
      [&](auto* context, auto* host) { return inventory_->RegisterHost(context, request, host); });
}

absl::StatusOr<pb::Backup> ControllerTest::Create(
    const std::string& vm, const std::string& name,
    const std::function<void(pb::CreateBackupRequest&)>& more) {
  pb::CreateBackupRequest request;
  request.set_vm_id(vm);
  request.set_name(name);
  request.set_repository(1);
  if (more) more(request);
  return Create(request);
}

absl::StatusOr<pb::Backup> ControllerTest::Create(const pb::CreateBackupRequest& request) {
  return Do<pb::Backup>([&](auto* context, auto* backup) {
    return backups_->CreateBackup(context, request, backup);
  });
}

absl::StatusOr<pb::Backup> ControllerTest::Get(const std::string& id) {
  pb::GetBackupRequest request;
  request.set_id(id);
  return Do<pb::Backup>(
      [&](auto* context, auto* backup) { return backups_->GetBackup(context, request, backup); });
}

absl::StatusOr<pb::Backup> ControllerTest::Scrub(const std::string& id) {
  pb::UpdateBackupRequest request;
  request.set_id(id);
  request.set_state(pb::Backup::SCRUB);
  return Update(request);
}

absl::StatusOr<pb::Backup> ControllerTest::Update(const pb::UpdateBackupRequest& request) {
  return Do<pb::Backup>([&](auto* context, auto* backup) {
    return backups_->UpdateBackup(context, request, backup);
  });
}

absl::StatusOr<pb::ListBackupsResponse> ControllerTest::List(
    const pb::ListBackupsRequest& request) {
  return Do<pb::ListBackupsResponse>(
      [&](auto* context, auto* page) { return backups_->ListBackups(context, request, page); });
}

pb::Backup ControllerTest::Await(const std::string& id,
                                 const std::function<bool(const pb::Backup&)>& good) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience));
  pb::WatchBackupsRequest request;
  request.mutable_filter()->add_ids(id);
  request.mutable_filter()->set_show_closed(true);
  const auto reader = backups_->WatchBackups(&context, request);
  pb::WatchBackupsResponse response;
  pb::Backup last;
  while (reader->Read(&response)) {
    if (!response.has_backup()) continue;
    last = response.backup();
    if (!good(last)) continue;
    context.TryCancel();
    return last;
  }
  ADD_FAILURE() << "never seen: " << reader->Finish().error_message()
                << "; last: " << last.DebugString();
  return last;
}

pb::Backup ControllerTest::AwaitState(const std::string& id, pb::Backup::State state) {
  SCOPED_TRACE(pb::Backup::State_Name(state));
  return Await(id, [&](const pb::Backup& backup) { return backup.state() == state; });
}

pb::Backup ControllerTest::AwaitCondition(const std::string& id, const std::string& type) {
  SCOPED_TRACE(type);
  return Await(id, [&](const pb::Backup& backup) { return HasCondition(backup, type); });
}

void ControllerTest::AwaitHost(const std::string& id, pb::Host::Availability availability) {
  pb::GetHostRequest request;
  request.set_id(id);
  AwaitTrue(
      [&] {
        const auto host = Do<pb::Host>([&](auto* context, auto* answer) {
          return inventory_->GetHost(context, request, answer);
        });
        return host.ok() && host->availability() == availability;
      },
      absl::StrCat(id, " is ", pb::Host::Availability_Name(availability)));
}

void ControllerTest::AwaitVm(const std::string& name) {
  AwaitTrue(
      [&] {
        return Create(name, "probe", [](auto& request) { request.set_validate_only(true); }).ok();
      },
      absl::StrCat("VM ", name, " is known"));
}

void ControllerTest::AwaitTrue(const std::function<bool()>& holds, const std::string& what) {
  const absl::Duration until = RealClock().Monotonic() + kPatience;
  while (RealClock().Monotonic() < until) {
    if (holds()) return;
    std::this_thread::yield();
    (void)RealClock().WaitFor(absl::Milliseconds(2), {});
  }
  ADD_FAILURE() << "never true: " << what;
}

bool HasCondition(const pb::Backup& backup, const std::string& type) {
  for (const pb::Condition& condition : backup.conditions()) {
    if (condition.type() == type) return true;
  }
  return false;
}

}  // namespace vmkeep::test
