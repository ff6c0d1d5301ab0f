#include "common/metrics/grpc_calls.h"

#include "common/clock.h"
#include "common/mutex.h"

#include "absl/status/status.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/descriptor.h>
#include <grpcpp/support/interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::metrics {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;

constexpr Family kCalls = {"vmkeep_grpc_calls_total",
                           "Calls that ended, streams included, by method and gRPC code."};
constexpr Family kInProgress = {
    "vmkeep_grpc_calls_in_progress",
    "Calls under way, by method; those of WatchBackups are the watchers."};

constexpr HistogramFamily kCallSeconds = {
    "vmkeep_grpc_call_seconds",
    "Time from a call's arrival to its answer, by method and gRPC code; "
    "streams are left out.",
    kShortSeconds};

// "/vmkeep.v1.BackupService/GetBackup" as it is when this binary knows the method.
std::string MethodLabel(absl::string_view path) {
  std::string name = absl::StrReplaceAll(path, {{"/", "."}});
  if (!name.empty()) name.erase(0, 1);
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  return pool->FindMethodByName(name) != nullptr ? std::string(path) : "other";
}

// What is under way, and what it was; shared by the calls. Thread-safe.
class Calls {
 public:
  explicit Calls(Registry& registry) : registry_(registry) {}

  void Begin(const std::string& method) {
    MutexLock lock(&mu_);
    ++in_progress_[method];
  }
  void End(const std::string& method, grpc::StatusCode code, std::optional<absl::Duration> took) {
    {
      MutexLock lock(&mu_);
      --in_progress_[method];
    }
    // The numbers are the same.
    const Labels labels = {{"method", method},
                           {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}};
    registry_.Count(kCalls, labels);
    if (took) registry_.Observe(kCallSeconds, labels, *took);
  }
  void Collect(Gauges& gauges) {
    MutexLock lock(&mu_);
    for (const auto& [method, calls] : in_progress_) {
      gauges.Set(kInProgress, {{"method", method}}, calls);
    }
  }

 private:
  Registry& registry_;
  Mutex mu_;
  std::map<std::string, int> in_progress_ ABSL_GUARDED_BY(mu_);
};

// One call; lives as long as it.
class MeasuredCall final : public Interceptor {
 public:
  MeasuredCall(std::shared_ptr<Calls> calls, const ServerRpcInfo& info)
      : calls_(std::move(calls)),
        method_(MethodLabel(info.method() == nullptr ? "" : info.method())),
        unary_(info.type() == ServerRpcInfo::Type::UNARY),
        began_(RealClock().Monotonic()) {
    calls_->Begin(method_);
  }
  // A call that never got a status was left by its caller.
  ~MeasuredCall() override { calls_->End(method_, code_, took_); }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = methods->GetSendStatus().error_code();
      if (unary_) took_ = RealClock().Monotonic() - began_;
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<Calls> calls_;
  const std::string method_;
  const bool unary_;
  const absl::Duration began_;
  grpc::StatusCode code_ = grpc::StatusCode::CANCELLED;
  std::optional<absl::Duration> took_;
};

class MeasuredCalls final : public ServerInterceptorFactoryInterface {
 public:
  explicit MeasuredCalls(std::shared_ptr<Calls> calls) : calls_(std::move(calls)) {}
  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new MeasuredCall(calls_, *info);
  }

 private:
  const std::shared_ptr<Calls> calls_;
};

}  // namespace

void MeasureCalls(grpc::ServerBuilder& builder, Registry& registry) {
  auto calls = std::make_shared<Calls>(registry);
  registry.AddSource([calls](Gauges& gauges) { calls->Collect(gauges); });
  std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<MeasuredCalls>(std::move(calls)));
  builder.experimental().SetInterceptorCreators(std::move(factories));
}

}  // namespace vmkeep::metrics
