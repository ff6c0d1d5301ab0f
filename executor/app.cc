#include "executor/app.h"

#include "common/channel.h"
#include "common/host/state_folder.h"
#include "common/log.h"
#include "common/metrics/grpc_calls.h"
#include "common/status_macros.h"
#include "executor/backends.h"
#include "executor/hypervisor/fault_hypervisor.h"
#include "executor/metrics/families.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kDrainTasks = absl::Seconds(45);
constexpr absl::Duration kDrainCalls = absl::Seconds(3);

}  // namespace

absl::StatusOr<std::unique_ptr<App>> App::Start(const Options& options) {
  VMKEEP_RETURN_IF_ERROR(host::MakeStateFolder(options.state_dir));
  VMKEEP_ASSIGN_OR_RETURN(fs::Fd lock, host::LockStateFolder(options.state_dir));
  VMKEEP_ASSIGN_OR_RETURN(std::unique_ptr<Journal> journal,
                          Journal::Open(options.state_dir, RealClock()));
  auto metrics = std::make_unique<metrics::Registry>();
  journal->SetWriteMeter([&metrics = *metrics](bool ok, absl::Duration took) {
    metrics.Observe(family::kJournalWriteSeconds, {{"result", ok ? "ok" : "failed"}}, took);
  });
  VMKEEP_ASSIGN_OR_RETURN(std::unique_ptr<Hypervisor> hypervisor,
                          OpenHypervisor(options, *metrics));
  auto app = absl::WrapUnique(new App(options, std::move(metrics), std::move(lock),
                                      std::move(journal), std::move(hypervisor)));
  VMKEEP_RETURN_IF_ERROR(app->ServeMetrics(options.metrics_listen));
  VMKEEP_RETURN_IF_ERROR(app->Serve(options));
  return app;
}

App::App(const Options& options, std::unique_ptr<metrics::Registry> metrics, fs::Fd lock,
         std::unique_ptr<Journal> journal, std::unique_ptr<Hypervisor> hypervisor)
    : metrics_(std::move(metrics)),
      lock_(std::move(lock)),
      journal_(std::move(journal)),
      process_worker_(options.worker_binary),
      guard_(process_worker_, options.repositories, RealClock()),
      worker_(guard_, *metrics_, RealClock()),
      events_(*journal_, RealClock()),
      hypervisor_(WithFaultPoints(std::move(hypervisor)), *metrics_, RealClock()),
      env_{hypervisor_, worker_, *journal_, RealClock(), options.tasks},
      repositories_(env_, guard_, [this] { events_.TellInventoryChanged(); }),
      tasks_(env_, events_, [this] { repositories_.Refresh(); }),
      overlays_(env_, tasks_, [this] { events_.TellInventoryChanged(); }),
      service_(env_, events_, tasks_, repositories_),
      state_metrics_(env_, tasks_, repositories_, hypervisor_, worker_, guard_) {}

// Before anything runs: an address that cannot be used is said with nothing begun.
absl::Status App::ServeMetrics(const std::string& address) {
  if (address.empty()) return absl::OkStatus();
  metrics_->AddSource([this](metrics::Gauges& gauges) { state_metrics_.Collect(gauges); });
  VMKEEP_ASSIGN_OR_RETURN(metrics_server_,
                          metrics::HttpServer::Start(address, [this] { return metrics_->Text(); }));
  log::Info("metrics_serving", {{"listen", address}, {"port", metrics_server_->port()}});
  return absl::OkStatus();
}

absl::Status App::Serve(const Options& options) {
  env_.alerts->OnChange([this] { events_.TellInventoryChanged(); });
  repositories_.EndLeftovers();
  VMKEEP_RETURN_IF_ERROR(tasks_.Recover());
  hypervisor_.OnChange([this] { events_.TellInventoryChanged(); });
  repositories_.Run();
  overlays_.Run();

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  VMKEEP_RETURN_IF_ERROR(AddListener(builder, options.listen,
                                     {options.tls_ca, options.tls_cert, options.tls_key}, &port));
  builder.RegisterService(&service_);
  metrics::MeasureCalls(builder, *metrics_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen,
                                               ": is it in use, or its folder missing?"));
  }
  log::Info("serving", {{"listen", options.listen},
                        {"port", port},
                        {"host", options.tasks.hostname},
                        {"executor", journal_->executor_id()},
                        {"hypervisor", hypervisor_.name()}});
  return absl::OkStatus();
}

void App::Drain() {
  server_->GetHealthCheckService()->SetServingStatus(false);
  tasks_.Drain(kDrainTasks);
  service_.EndStreams();
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(kDrainCalls));
  server_->Wait();
}

App::~App() {
  if (server_ == nullptr) return;
  service_.EndStreams();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

}  // namespace vmkeep::executor
