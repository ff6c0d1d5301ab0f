#include "executor/service/executor_service.h"

#include "common/error.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "executor/service/convert.h"
#include "executor/service/errors.h"
#include "executor/task/errors.h"
#include "executor/task/inventory.h"

#include "absl/strings/ascii.h"

#include <algorithm>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr int kQuickThreads = 4;
constexpr int kSlowThreads = 3;
constexpr int kMaxWaiting = 256;
constexpr size_t kMaxStreams = 16;
constexpr int kMaxPageSize = 1000;
// A sign of life at least every 15 s.
constexpr absl::Duration kLookEvery = absl::Seconds(2);
constexpr absl::Duration kKeepAliveAfter = absl::Seconds(10);

}  // namespace

ExecutorService::ExecutorService(const Environment& env, EventLog& events, TaskManager& tasks,
                                 Repositories& repositories)
    : env_(env),
      events_(events),
      tasks_(tasks),
      repositories_(repositories),
      quick_(kQuickThreads, kMaxWaiting),
      slow_(kSlowThreads, kMaxWaiting),
      keeper_([this](const std::stop_token& stop) {
        while (env_.clock.WaitFor(kLookEvery, stop)) KeepStreamsAlive();
      }) {}

grpc::ServerUnaryReactor* ExecutorService::Answer(grpc::CallbackServerContext* context,
                                                  WorkPool& pool,
                                                  std::function<absl::Status()> verb) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool posted =
      pool.Post([reactor, verb = std::move(verb)] { reactor->Finish(ToGrpcStatus(verb())); });
  if (!posted) reactor->Finish(ToGrpcStatus(error::Overloaded()));
  return reactor;
}

grpc::ServerUnaryReactor* ExecutorService::Hello(grpc::CallbackServerContext* context,
                                                 const v1::HelloRequest* request,
                                                 v1::HelloResponse* response) {
  return Answer(context, quick_, [this, request, response]() -> absl::Status {
    const int protocol = std::min(request->protocol_max(), kProtocolMax);
    if (protocol < std::max(request->protocol_min(), kProtocolMin)) {
      return error::ProtocolMismatch(request->protocol_min(), request->protocol_max());
    }
    VMKEEP_ASSIGN_OR_RETURN(const int64_t last, env_.journal.LastSequence());
    response->set_executor_id(env_.journal.executor_id());
    response->set_hostname(env_.options.hostname);
    response->set_hypervisor(env_.hypervisor.name());
    response->set_simulated(env_.hypervisor.simulated());
    response->set_version(kVersion);
    response->set_protocol(protocol);
    response->set_boot_id(env_.boot_id);
    response->set_last_sequence(last);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ExecutorService::StartTask(grpc::CallbackServerContext* context,
                                                     const v1::StartTaskRequest* request,
                                                     v1::StartTaskResponse* response) {
  return Answer(context, quick_, [this, request, response]() -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(const TaskRecord record, ToRecord(*request, env_.clock.Now()));
    if (!env_.options.repositories.contains(record.slot)) {
      return error::RepositoryNotConfigured(record.slot);
    }
    VMKEEP_ASSIGN_OR_RETURN(const bool known, tasks_.Start(record));
    response->set_already_known(known);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ExecutorService::CancelTask(grpc::CallbackServerContext* context,
                                                      const v1::CancelTaskRequest* request,
                                                      v1::CancelTaskResponse* response) {
  return Answer(context, quick_, [this, request, response]() -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(const TaskId task, ToTaskId(request->task()));
    VMKEEP_ASSIGN_OR_RETURN(const bool known, tasks_.Cancel(task));
    response->set_known(known);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ExecutorService::ListTasks(grpc::CallbackServerContext* context,
                                                     const v1::ListTasksRequest*,
                                                     v1::ListTasksResponse* response) {
  return Answer(context, quick_, [this, response]() -> absl::Status {
    // The sequence first: what happens in between is told again, which does no harm.
    VMKEEP_ASSIGN_OR_RETURN(const int64_t last, env_.journal.LastSequence());
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<TaskSummary> tasks, env_.journal.List());
    for (const TaskSummary& task : tasks) *response->add_tasks() = ToProto(task);
    response->set_as_of_sequence(last);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ExecutorService::GetInventory(grpc::CallbackServerContext* context,
                                                        const v1::GetInventoryRequest* request,
                                                        v1::GetInventoryResponse* response) {
  return Answer(context, slow_, [this, request, response]() -> absl::Status {
    const int asked = request->page_size();
    if (asked < 0 || asked > kMaxPageSize) {
      return InvalidArgument("page_size", "must be 1 to 1000, or 0 for 1000");
    }
    VMKEEP_ASSIGN_OR_RETURN(VmPage page, ListVms(env_, tasks_, asked == 0 ? kMaxPageSize : asked,
                                                 request->page_token()));
    v1::Inventory& inventory = *response->mutable_inventory();
    for (auto& vm : page.vms) *inventory.add_vms() = std::move(vm);
    response->set_next_page_token(page.next_page_token);
    if (!request->page_token().empty()) return absl::OkStatus();
    for (auto& repository : repositories_.List()) {
      *inventory.add_repositories() = std::move(repository);
    }
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::StreamEventsResponse>* ExecutorService::StreamEvents(
    grpc::CallbackServerContext*, const v1::StreamEventsRequest* request) {
  const std::shared_ptr<EventStream> stream = EventStream::New(events_, quick_, env_.clock);
  bool room = false;
  {
    MutexLock lock(&mu_);
    std::erase_if(streams_, [](const auto& each) { return each.expired(); });
    room = streams_.size() < kMaxStreams;
    if (room) streams_.push_back(stream);
  }
  const int64_t after = request->after_sequence();
  if (!room || !quick_.Post([stream, after] { stream->Begin(after); })) {
    stream->Refuse(error::Overloaded());
  }
  return stream.get();
}

grpc::ServerUnaryReactor* ExecutorService::AckEvents(grpc::CallbackServerContext* context,
                                                     const v1::AckEventsRequest* request,
                                                     v1::AckEventsResponse*) {
  return Answer(context, quick_, [this, request]() -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(const int64_t last, env_.journal.LastSequence());
    if (request->sequence() < 0 || request->sequence() > last) {
      return error::SequenceUnknown(request->sequence(), last);
    }
    return env_.journal.Acknowledge(request->sequence());
  });
}

grpc::ServerUnaryReactor* ExecutorService::InitRepository(grpc::CallbackServerContext* context,
                                                          const v1::InitRepositoryRequest* request,
                                                          v1::InitRepositoryResponse* response) {
  return Answer(context, slow_, [this, request, response]() -> absl::Status {
    if (request->slot() != 1 && request->slot() != 2) {
      return InvalidArgument("slot", "must be 1 (primary) or 2 (secondary)");
    }
    VMKEEP_ASSIGN_OR_RETURN(*response->mutable_repository(),
                            repositories_.Init(request->slot(), request->allow_plain_directory(),
                                               stopping_.get_token()));
    return absl::OkStatus();
  });
}

void ExecutorService::EndStreams() {
  stopping_.request_stop();
  for (const auto& stream : Streams()) stream->End(error::StreamEnds());
}

void ExecutorService::KeepStreamsAlive() {
  for (const auto& stream : Streams()) stream->KeepAlive(kKeepAliveAfter);
}

std::vector<std::shared_ptr<EventStream>> ExecutorService::Streams() {
  std::vector<std::shared_ptr<EventStream>> streams;
  MutexLock lock(&mu_);
  for (const auto& each : streams_) {
    if (auto stream = each.lock()) streams.push_back(std::move(stream));
  }
  return streams;
}

}  // namespace vmkeep::executor
