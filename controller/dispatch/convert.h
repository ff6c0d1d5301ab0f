#ifndef VMKEEP_CONTROLLER_DISPATCH_CONVERT_H_
#define VMKEEP_CONTROLLER_DISPATCH_CONVERT_H_

#include "controller/dispatch/executor_client.h"
#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"
#include "controller/domain/inventory.h"
#include "vmkeep/executor/v1/executor_service.pb.h"
#include "vmkeep/executor/v1/task.pb.h"
#include "vmkeep/v1/inventory.pb.h"

#include "absl/status/statusor.h"

// Between the executor's wire and the controller's values. Pure. An executor is another program of
// perhaps another version: what it says is read defensively, numbers below zero and unknown enum
// values become "none".
namespace vmkeep::controller {

// The record's task: a scrub when task_is_scrub, else a backup.
executor::v1::StartTaskRequest ToStartTask(const BackupRecord& record);
executor::v1::TaskRef ToProto(const TaskRef& task);

ExecutorClient::Hello FromProto(const executor::v1::HelloResponse& hello);
KnownTask FromProto(const executor::v1::TaskStatus& task);
VmRecord FromProto(const ::vmkeep::v1::Vm& vm);
RepositoryRecord FromProto(const ::vmkeep::v1::Repository& repository);
// An event of a kind that this version does not know becomes a StepDone without a name: it changes
// nothing and is acknowledged like the others.
ExecutorEvent FromProto(const executor::v1::Event& event);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_CONVERT_H_
