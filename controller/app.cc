#include "controller/app.h"

#include "common/error.h"
#include "common/log.h"
#include "common/metrics/grpc_calls.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "controller/dispatch/fault_executor_client.h"
#include "controller/dispatch/grpc_executor_client.h"
#include "controller/domain/states.h"
#include "controller/metrics/families.h"
#include "controller/store/sqlite/sqlite_backup_store.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "grpc/health/v1/health.pb.h"
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

namespace vmkeep::controller {
namespace {

// Requests are small; the largest has 64 labels.
constexpr int kMaxReceiveBytes = 4 << 20;

SchedulerOptions WithLimits(SchedulerOptions scheduler, const Options& options) {
  scheduler.tasks_per_host = options.tasks_per_host;
  scheduler.tasks_per_repository = options.tasks_per_repository;
  return scheduler;
}

// For nobody else: the database has what users called their VMs and backups.
absl::Status MakeStateDir(const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (!error && made) std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  if (!error) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "STATE_DIR",
                   absl::StrCat("cannot make the state folder ", path, ": ", error.message()));
}

// Every durable change of a record: its story, by its id.
void LogRecord(const BackupRecord& record) {
  log::Info("backup_recorded", {{"backup", record.id},
                                {"host", record.host_id},
                                {"vm", record.vm_uuid},
                                {"state", StateName(record.state)},
                                {"epoch", record.epoch},
                                {"reason", record.failure ? record.failure->reason : ""},
                                {"revision", record.revision}});
}

}  // namespace

App::Parts App::RealParts(const Options& options) {
  HostLinkOptions links;
  links.seed = std::random_device()();
  SchedulerOptions scheduler;
  scheduler.seed = std::random_device()();
  return {RealClock(), WithFaultPoints(GrpcExecutorClientFactory(options.tls)), links, scheduler};
}

absl::StatusOr<std::unique_ptr<App>> App::Start(const Options& options, Parts parts) {
  VMKEEP_RETURN_IF_ERROR(MakeStateDir(options.state_dir));
  VMKEEP_ASSIGN_OR_RETURN(
      auto store,
      SqliteBackupStore::Open(absl::StrCat(options.state_dir, "/controller.db"), parts.clock));
  SqliteBackupStore& sqlite = *store;
  std::unique_ptr<App> app(new App(options, std::move(parts), std::move(store)));
  sqlite.SetCommitMeter([app = app.get()](bool ok, size_t mutations, absl::Duration took) {
    app->metrics_.Observe(family::kStoreCommitSeconds, {{"result", ok ? "ok" : "failed"}}, took);
    app->metrics_.Observe(family::kStoreCommitMutations, {}, static_cast<double>(mutations));
  });
  VMKEEP_RETURN_IF_ERROR(app->TakeUp());
  VMKEEP_RETURN_IF_ERROR(app->ServeMetrics());
  VMKEEP_RETURN_IF_ERROR(app->Serve());
  return app;
}

App::App(const Options& options, Parts parts, std::unique_ptr<BackupStore> store)
    : options_(options),
      clock_(parts.clock),
      store_(std::move(store)),
      loop_(std::make_shared<ThreadLoop>(clock_)),
      inventory_(*store_, clock_),
      live_(clock_),
      recorder_(*store_, live_, clock_),
      hub_(MakeWatchHub(*store_, live_)),
      dispatcher_(HostLinkContext{inventory_,
                                  loop_,
                                  clock_,
                                  std::move(parts.dial),
                                  store_->controller_id(),
                                  parts.links,
                                  {}}),
      scheduler_(WithLimits(parts.scheduler, options), recorder_, live_, inventory_, dispatcher_,
                 loop_, clock_),
      gate_(AccessPolicy{options.operators}),
      backup_service_(
          gate_, *store_, inventory_, live_, *hub_, clock_,
          WatchStreamOptions{[loop = loop_](absl::Duration delay, std::function<void()> run) {
                               loop->PostAfter(delay, std::move(run));
                             },
                             options.bookmark_every}),
      inventory_service_(gate_, *store_, inventory_, options.tls,
                         [this](const HostId& host, int slot, bool allow_plain_directory,
                                std::function<void(absl::StatusOr<RepositoryRecord>)> done) {
                           dispatcher_.InitRepository(host, slot, allow_plain_directory,
                                                      std::move(done));
                         }),
      state_metrics_(*store_, inventory_, live_, clock_) {}

App::~App() { Stop(); }

// The open records come first: a host that is dialled before they are known would be told to cancel
// all it runs.
absl::Status App::TakeUp() {
  store_->SetObserver([this](const std::vector<BackupRecord>& records) {
    for (const BackupRecord& record : records) LogRecord(record);
    hub_->PublishCommitted(records);
    scheduler_.OnCommitted(records);
  });
  live_.OnChange([this](const BackupId& id, LiveState::About about) {
    about == LiveState::About::kVm ? hub_->PublishVm(id) : hub_->PublishLive(id);
  });
  dispatcher_.SetHooks(scheduler_.LinkHooks());
  VMKEEP_RETURN_IF_ERROR(scheduler_.Start(*store_));
  inventory_.OnChange([this] {
    dispatcher_.SyncHosts();
    scheduler_.OnInventoryChanged();
  });
  VMKEEP_RETURN_IF_ERROR(inventory_.Load());
  scheduler_.OnInventoryChanged();
  dispatcher_.SyncHosts();
  return absl::OkStatus();
}

absl::Status App::Serve() {
  // Reflection can describe the health service only when its generated code is linked in.
  (void)grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  ports_.assign(options_.listen.size(), 0);
  for (size_t i = 0; i < options_.listen.size(); ++i) {
    VMKEEP_RETURN_IF_ERROR(AddListener(builder, options_.listen[i], options_.tls, &ports_[i]));
  }
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.RegisterService(&backup_service_);
  builder.RegisterService(&inventory_service_);
  metrics::MeasureCalls(builder, metrics_);
  server_ = builder.BuildAndStart();
  for (size_t i = 0; i < options_.listen.size(); ++i) {
    if (server_ != nullptr && ports_[i] != 0) continue;
    return MakeError(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                     absl::StrCat("cannot listen on ", absl::StrJoin(options_.listen, ", "),
                                  ": in use, or not permitted"));
  }
  log::Info("controller_serving", {{"listen", absl::StrJoin(options_.listen, ",")},
                                   {"version", kVersion},
                                   {"controller", store_->controller_id()}});
  return absl::OkStatus();
}

absl::Status App::ServeMetrics() {
  if (options_.metrics_listen.empty()) return absl::OkStatus();
  metrics_.AddSource([this](metrics::Gauges& gauges) { state_metrics_.Collect(gauges); });
  VMKEEP_ASSIGN_OR_RETURN(
      metrics_server_,
      metrics::HttpServer::Start(options_.metrics_listen, [this] { return metrics_.Text(); }));
  log::Info("metrics_serving",
            {{"listen", options_.metrics_listen}, {"port", metrics_server_->port()}});
  return absl::OkStatus();
}

void App::Stop() {
  if (std::exchange(stopped_, true)) return;
  metrics_server_.reset();  // before what it looks at
  metrics_.Close();
  if (server_ != nullptr) server_->GetHealthCheckService()->SetServingStatus(false);
  gate_.Drain();
  hub_->Close();
  scheduler_.Drain();
  loop_->Stop();
  dispatcher_.Clear();
  if (server_ != nullptr) {
    // By the machine's clock, as all deadlines of gRPC.
    server_->Shutdown(std::chrono::system_clock::now() +
                      absl::ToChronoMilliseconds(options_.drain_deadline));
    server_->Wait();
    server_.reset();
  }
  inventory_.FlushSeen();
  // Finishes what it was asked for, and that still tells the scheduler and the hub: they go with
  // this object, later.
  store_.reset();
  log::Info("controller_stopped");
}

}  // namespace vmkeep::controller
