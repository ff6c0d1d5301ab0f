#include "controller/dispatch/grpc_executor_client.h"

#include "common/grpc_status.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "controller/dispatch/convert.h"
#include "controller/dispatch/errors.h"
#include "vmkeep/executor/v1/executor_service.grpc.pb.h"

#include "absl/time/time.h"
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::executor::v1;
using Async = pb::ExecutorService::StubInterface::async_interface;

constexpr absl::Duration kShort = absl::Seconds(15);  // answered from memory, or after one flush
constexpr absl::Duration kStart = absl::Seconds(30);  // a journal's flush on a busy disk
constexpr absl::Duration kLook = absl::Seconds(60);   // looks at libvirt and at repositories
constexpr int kMaxInventoryPages = 1000;  // of 1000 VMs each: an executor that turns in circles

// The calls under way: cancelled and awaited when the client goes. Outlives the client.
// Thread-safe.
//
// A context holds the channel, and gRPC 1.51 does not survive that its last channel is released on
// a thread of its own (it ends the queue that this thread serves). So each context is destroyed
// before Gone(), and the client releases the channel after Close(), on the thread of its owner.
class Calls {
 public:
  explicit Calls(pb::ExecutorService::Stub* stub) : stub_(stub) {}

  // The stub to begin the call with; null when the client goes: the call must not begin.
  pb::ExecutorService::Stub* Begin(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (closed_) return nullptr;
    contexts_.insert(context);
    ++open_;
    return stub_;
  }
  // The call is over: its context is not cancelled any more, and is destroyed next.
  void End(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    contexts_.erase(context);
  }
  // Its context is destroyed.
  void Gone() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (--open_ == 0) none_.NotifyAll();
  }
  // Cancels all, and returns when all are gone. Not to be called on a thread of gRPC.
  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    closed_ = true;
    // Safe under the lock: TryCancel only marks the call, and no context ends meanwhile.
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    while (open_ > 0) none_.Wait(&mu_);
  }

 private:
  pb::ExecutorService::Stub* const stub_;
  Mutex mu_;
  CondVar none_;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mu_);
  int open_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

absl::Status ClientGone() { return absl::CancelledError("the connection was closed"); }

template <typename Request, typename Response>
struct Call {
  std::optional<grpc::ClientContext> context{std::in_place};
  Request request;
  Response response;
};

template <typename Request, typename Response>
using UnaryMethod = void (Async::*)(grpc::ClientContext*, const Request*, Response*,
                                    std::function<void(grpc::Status)>);

// One unary call. `done` gets the response or the executor's error.
template <typename Request, typename Response>
void CallUnary(const std::shared_ptr<Calls>& calls, UnaryMethod<Request, Response> method,
               Request request, absl::Duration deadline,
               std::function<void(absl::StatusOr<Response>)> done) {
  auto call = std::make_shared<Call<Request, Response>>();
  call->request = std::move(request);
  call->context->set_deadline(std::chrono::system_clock::now() +
                              absl::ToChronoNanoseconds(deadline));
  pb::ExecutorService::Stub* const stub = calls->Begin(&*call->context);
  if (stub == nullptr) return done(ClientGone());
  auto finish = [calls, call, done = std::move(done)](const grpc::Status& status) {
    calls->End(&*call->context);
    call->context.reset();
    calls->Gone();
    if (!status.ok()) return done(FromGrpcStatus(status));
    done(std::move(call->response));
  };
  Async* async = stub->async();
  (async->*method)(&*call->context, &call->request, &call->response, std::move(finish));
}

// Reads one message, hands it on, reads the next. Deletes itself when the call is done.
class EventReader final : public grpc::ClientReadReactor<pb::StreamEventsResponse> {
 public:
  EventReader(std::shared_ptr<Calls> calls, int64_t after_sequence,
              std::function<void(std::vector<ExecutorEvent>)> batch,
              std::function<void(absl::Status)> ended)
      : calls_(std::move(calls)), batch_(std::move(batch)), ended_(std::move(ended)) {
    request_.set_after_sequence(after_sequence);
  }

  void Begin() {
    pb::ExecutorService::Stub* const stub = calls_->Begin(&context_);
    if (stub == nullptr) {
      ended_(ClientGone());
      delete this;
      return;
    }
    stub->async()->StreamEvents(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone has the reason
    std::vector<ExecutorEvent> events;
    events.reserve(static_cast<size_t>(response_.events_size()));
    for (const pb::Event& event : response_.events()) events.push_back(FromProto(event));
    batch_(std::move(events));
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<Calls> calls = calls_;
    const std::function<void(absl::Status)> ended = ended_;
    const absl::Status why = FromGrpcStatus(status);
    calls->End(&context_);
    delete this;
    calls->Gone();
    ended(why);
  }

 private:
  const std::shared_ptr<Calls> calls_;
  const std::function<void(std::vector<ExecutorEvent>)> batch_;
  const std::function<void(absl::Status)> ended_;
  grpc::ClientContext context_;
  pb::StreamEventsRequest request_;
  pb::StreamEventsResponse response_;
};

// Reads page after page.
class InventoryReader : public std::enable_shared_from_this<InventoryReader> {
 public:
  InventoryReader(std::shared_ptr<Calls> calls, ExecutorClient::Callback<HostInventory> done)
      : calls_(std::move(calls)), done_(std::move(done)) {}

  void Next(std::string page_token) {
    pb::GetInventoryRequest request;
    request.set_page_token(std::move(page_token));
    CallUnary<pb::GetInventoryRequest, pb::GetInventoryResponse>(
        calls_, &Async::GetInventory, std::move(request), kLook,
        [self = shared_from_this()](absl::StatusOr<pb::GetInventoryResponse> page) {
          self->OnPage(std::move(page));
        });
  }

 private:
  void OnPage(absl::StatusOr<pb::GetInventoryResponse> page) {
    if (!page.ok()) return done_(page.status());
    for (const auto& vm : page->inventory().vms()) found_.vms.push_back(FromProto(vm));
    for (const auto& repository : page->inventory().repositories()) {
      found_.repositories.push_back(FromProto(repository));
    }
    if (page->next_page_token().empty()) return done_(std::move(found_));
    if (++pages_ >= kMaxInventoryPages)
      return done_(error::BadAnswer("GetInventory", "its pages do not end"));
    Next(page->next_page_token());
  }

  const std::shared_ptr<Calls> calls_;
  const ExecutorClient::Callback<HostInventory> done_;
  HostInventory found_;
  int pages_ = 0;
};

class GrpcExecutorClient final : public ExecutorClient {
 public:
  explicit GrpcExecutorClient(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(pb::ExecutorService::NewStub(channel)),
        calls_(std::make_shared<Calls>(stub_.get())) {}
  ~GrpcExecutorClient() override { calls_->Close(); }

  void SayHello(const std::string& controller_id, Callback<Hello> done) override {
    pb::HelloRequest request;
    request.set_controller_id(controller_id);
    request.set_protocol_min(kProtocolMin);
    request.set_protocol_max(kProtocolMax);
    CallUnary<pb::HelloRequest, pb::HelloResponse>(
        calls_, &Async::Hello, std::move(request), kShort,
        [done = std::move(done)](absl::StatusOr<pb::HelloResponse> hello) {
          if (!hello.ok()) return done(hello.status());
          if (hello->executor_id().empty())
            return done(error::BadAnswer("Hello", "there is no executor id"));
          done(FromProto(*hello));
        });
  }

  void StartTask(const BackupRecord& record, Callback<bool> done) override {
    CallUnary<pb::StartTaskRequest, pb::StartTaskResponse>(
        calls_, &Async::StartTask, ToStartTask(record), kStart,
        [done = std::move(done)](absl::StatusOr<pb::StartTaskResponse> started) {
          if (!started.ok()) return done(started.status());
          done(started->already_known());
        });
  }

  void CancelTask(const TaskRef& task, Callback<bool> done) override {
    pb::CancelTaskRequest request;
    *request.mutable_task() = ToProto(task);
    CallUnary<pb::CancelTaskRequest, pb::CancelTaskResponse>(
        calls_, &Async::CancelTask, std::move(request), kStart,
        [done = std::move(done)](absl::StatusOr<pb::CancelTaskResponse> cancelled) {
          if (!cancelled.ok()) return done(cancelled.status());
          done(cancelled->known());
        });
  }

  void ListTasks(Callback<std::vector<KnownTask>> done) override {
    CallUnary<pb::ListTasksRequest, pb::ListTasksResponse>(
        calls_, &Async::ListTasks, {}, kShort,
        [done = std::move(done)](absl::StatusOr<pb::ListTasksResponse> listed) {
          if (!listed.ok()) return done(listed.status());
          std::vector<KnownTask> tasks;
          for (const pb::TaskStatus& task : listed->tasks()) tasks.push_back(FromProto(task));
          done(std::move(tasks));
        });
  }

  void GetInventory(Callback<HostInventory> done) override {
    std::make_shared<InventoryReader>(calls_, std::move(done))->Next("");
  }

  void InitRepository(int slot, bool allow_plain_directory,
                      Callback<RepositoryRecord> done) override {
    pb::InitRepositoryRequest request;
    request.set_slot(slot);
    request.set_allow_plain_directory(allow_plain_directory);
    CallUnary<pb::InitRepositoryRequest, pb::InitRepositoryResponse>(
        calls_, &Async::InitRepository, std::move(request), kLook,
        [done = std::move(done)](absl::StatusOr<pb::InitRepositoryResponse> answer) {
          if (!answer.ok()) return done(answer.status());
          done(FromProto(answer->repository()));
        });
  }

  void AckEvents(int64_t sequence, Callback<bool> done) override {
    pb::AckEventsRequest request;
    request.set_sequence(sequence);
    CallUnary<pb::AckEventsRequest, pb::AckEventsResponse>(
        calls_, &Async::AckEvents, std::move(request), kShort,
        [done = std::move(done)](absl::StatusOr<pb::AckEventsResponse> answer) {
          if (!answer.ok()) return done(answer.status());
          done(true);
        });
  }

  void StreamEvents(int64_t after_sequence, std::function<void(std::vector<ExecutorEvent>)> batch,
                    std::function<void(absl::Status)> ended) override {
    (new EventReader(calls_, after_sequence, std::move(batch), std::move(ended)))->Begin();
  }

 private:
  const std::unique_ptr<pb::ExecutorService::Stub> stub_;  // holds the channel
  const std::shared_ptr<Calls> calls_;
};

}  // namespace

ExecutorClientFactory GrpcExecutorClientFactory(TlsFiles tls) {
  return [tls = std::move(tls)](
             const std::string& address) -> absl::StatusOr<std::shared_ptr<ExecutorClient>> {
    VMKEEP_ASSIGN_OR_RETURN(auto channel, Dial(address, tls));
    return std::make_shared<GrpcExecutorClient>(channel);
  };
}

}  // namespace vmkeep::controller
