#ifndef VMKEEP_EXECUTOR_SERVICE_EXECUTOR_SERVICE_H_
#define VMKEEP_EXECUTOR_SERVICE_EXECUTOR_SERVICE_H_

#include "common/mutex.h"
#include "executor/service/event_stream.h"
#include "executor/service/work_pool.h"
#include "executor/task/environment.h"
#include "executor/task/event_log.h"
#include "executor/task/repositories.h"
#include "executor/task/task_manager.h"
#include "vmkeep/executor/v1/executor_service.grpc.pb.h"

#include "absl/status/status.h"
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// The executor as the controller sees it. Handlers check, call one verb on a pool, convert; none
// blocks a gRPC thread. Outlived by what it is given, and outlives the server.
class ExecutorService final : public v1::ExecutorService::CallbackService {
 public:
  ExecutorService(const Environment& env, EventLog& events, TaskManager& tasks,
                  Repositories& repositories);

  grpc::ServerUnaryReactor* Hello(grpc::CallbackServerContext* context,
                                  const v1::HelloRequest* request,
                                  v1::HelloResponse* response) override;
  grpc::ServerUnaryReactor* StartTask(grpc::CallbackServerContext* context,
                                      const v1::StartTaskRequest* request,
                                      v1::StartTaskResponse* response) override;
  grpc::ServerUnaryReactor* CancelTask(grpc::CallbackServerContext* context,
                                       const v1::CancelTaskRequest* request,
                                       v1::CancelTaskResponse* response) override;
  grpc::ServerUnaryReactor* ListTasks(grpc::CallbackServerContext* context,
                                      const v1::ListTasksRequest* request,
                                      v1::ListTasksResponse* response) override;
  grpc::ServerUnaryReactor* GetInventory(grpc::CallbackServerContext* context,
                                         const v1::GetInventoryRequest* request,
                                         v1::GetInventoryResponse* response) override;
  grpc::ServerWriteReactor<v1::StreamEventsResponse>* StreamEvents(
      grpc::CallbackServerContext* context, const v1::StreamEventsRequest* request) override;
  grpc::ServerUnaryReactor* AckEvents(grpc::CallbackServerContext* context,
                                      const v1::AckEventsRequest* request,
                                      v1::AckEventsResponse* response) override;
  grpc::ServerUnaryReactor* InitRepository(grpc::CallbackServerContext* context,
                                           const v1::InitRepositoryRequest* request,
                                           v1::InitRepositoryResponse* response) override;

  // Ends the streams: their readers come back to the next start.
  void EndStreams() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Runs `verb` on the pool and finishes the call with its status.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, WorkPool& pool,
                                   std::function<absl::Status()> verb);
  void KeepStreamsAlive() ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::shared_ptr<EventStream>> Streams() ABSL_LOCKS_EXCLUDED(mu_);

  const Environment& env_;
  EventLog& events_;
  TaskManager& tasks_;
  Repositories& repositories_;

  Mutex mu_;
  std::vector<std::weak_ptr<EventStream>> streams_ ABSL_GUARDED_BY(mu_);
  std::stop_source stopping_;
  WorkPool quick_;  // waits for the local disk
  WorkPool slow_;   // waits for hypervisors and repositories
  std::jthread keeper_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_SERVICE_EXECUTOR_SERVICE_H_
