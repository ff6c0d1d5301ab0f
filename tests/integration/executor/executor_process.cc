#include "tests/integration/executor/executor_process.h"

#include "common/clock.h"
#include "common/digest/digest.h"
#include "common/manifest/manifest.h"
#include "common/uuid.h"
#include "executor/hypervisor/sim/sim_setup.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <utility>

namespace vmkeep::test {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience));
}

}  // namespace

ExecutorProcess::ExecutorProcess() {
  for (int slot : {1, 2}) std::filesystem::create_directory(repository(slot));
}

std::string ExecutorProcess::address() const { return "unix:" + folder_.path("executor.sock"); }
std::string ExecutorProcess::repository(int slot) const {
  return folder_.path(slot == 1 ? "backup-p" : "backup-s");
}

std::vector<std::string> ExecutorProcess::Argv(std::vector<std::string> flags) const {
  std::vector<std::string> argv = {absl::StrCat(VMKEEP_BIN, "/vmkeep-executor"),
                                   "--listen=" + address(),
                                   "--state_dir=" + folder_.path("state"),
                                   "--hypervisor=sim",
                                   "--sim_dir=" + folder_.path("vms"),
                                   "--sim_vms=web-1:2:64MiB,db-1:1:8MiB",
                                   "--repository_primary=" + repository(1),
                                   "--repository_secondary=" + repository(2),
                                   absl::StrCat("--worker_binary=", VMKEEP_TESTS, "/gate-worker"),
                                   "--overlay_reserve_bytes=1048576"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  return argv;
}

void ExecutorProcess::Start(std::vector<std::string> flags, bool init_repositories) {
  auto spawned = process::Spawn(
      {.argv = Argv(std::move(flags)),
       .environment = {{"VMKEEP_TEST_GATE", folder_.path("gate")},
                       {"VMKEEP_TEST_WORKER", absl::StrCat(VMKEEP_BIN, "/vmkeep-worker")}},
       .with_stdin = false});
  ASSERT_THAT(spawned, IsOk());
  process_ = *std::move(spawned);
  Connect();
  const absl::Duration until = RealClock().Monotonic() + kPatience;
  grpc::Status status;
  do {
    grpc::ClientContext context;
    SetDeadline(context);
    exec::HelloRequest request;
    request.set_protocol_max(1);
    exec::HelloResponse response;
    status = stub_->Hello(&context, request, &response);
    RealClock().WaitFor(absl::Milliseconds(20), {});
  } while (!status.ok() && RealClock().Monotonic() < until);
  ASSERT_TRUE(status.ok()) << status.error_message();
  if (init_repositories) InitRepositories();
}

void ExecutorProcess::Connect() {
  const absl::Duration until = RealClock().Monotonic() + kPatience;
  while (!std::filesystem::exists(folder_.path("executor.sock")) &&
         RealClock().Monotonic() < until) {
    RealClock().WaitFor(absl::Milliseconds(10), {});
  }
  // A channel of its own: a shared one would still wait after the last executor's end.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ = grpc::CreateCustomChannel(address(), grpc::InsecureChannelCredentials(), arguments);
  stub_ = exec::ExecutorService::NewStub(channel_);
}

void ExecutorProcess::InitRepositories() {
  for (int slot : {1, 2}) {
    grpc::ClientContext context;
    SetDeadline(context);
    exec::InitRepositoryRequest request;
    request.set_slot(slot);
    request.set_allow_plain_directory(true);
    exec::InitRepositoryResponse response;
    const grpc::Status status = stub_->InitRepository(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    repository_ids_[slot] = response.repository().id();
  }
}

void ExecutorProcess::Kill() {
  process_->Kill();
  ASSERT_TRUE(process_->Wait(kPatience).has_value());
  std::filesystem::remove(folder_.path("executor.sock"));
}

process::ExitStatus ExecutorProcess::Stop() {
  ::kill(process_->id().pid, SIGTERM);
  return process_->Wait(kPatience).value_or(process::ExitStatus{});
}

process::RunResult ExecutorProcess::StartSecond() {
  std::vector<std::string> argv = Argv({});
  argv[1] = "--listen=unix:" + folder_.path("second.sock");
  auto ran = process::RunToEnd(argv, kPatience);
  EXPECT_THAT(ran, IsOk());
  return ran.ok() ? *ran : process::RunResult{};
}

void ExecutorProcess::SetGate(const std::string& text) {
  if (text.empty()) {
    std::filesystem::remove(folder_.path("gate"));
  } else {
    ASSERT_TRUE(WriteFile(folder_.path("gate"), text));
  }
}

exec::StartTaskRequest ExecutorProcess::NewBackup(const std::string& vm_name) {
  exec::StartTaskRequest request;
  request.mutable_task()->set_task_id(NewUuid7(RealClock().Now()));
  request.mutable_task()->set_epoch(1);
  exec::BackupSpec& spec = *request.mutable_backup();
  spec.set_backup_id(NewUuid7(RealClock().Now()));
  spec.set_vm_uuid(executor::SimVmUuid(vm_name));
  spec.set_vm_id("customer-7");
  spec.set_name("nightly");
  spec.set_repository(1);
  spec.set_repository_id(repository_ids_[1]);
  spec.set_project("local");
  spec.set_host_id("host-1");
  (*spec.mutable_labels())["tier"] = "gold";
  return request;
}

exec::StartTaskRequest ExecutorProcess::NewScrub(const exec::StartTaskRequest& backup) {
  exec::StartTaskRequest request;
  request.mutable_task()->set_task_id(NewUuid7(RealClock().Now()));
  request.mutable_task()->set_epoch(backup.task().epoch() + 1);
  request.mutable_scrub()->set_backup_id(backup.backup().backup_id());
  request.mutable_scrub()->set_vm_uuid(backup.backup().vm_uuid());
  request.mutable_scrub()->set_repository(backup.backup().repository());
  request.mutable_scrub()->set_repository_id(backup.backup().repository_id());
  return request;
}

grpc::Status ExecutorProcess::StartTask(const exec::StartTaskRequest& request,
                                        exec::StartTaskResponse* response) {
  grpc::ClientContext context;
  SetDeadline(context);
  exec::StartTaskResponse ignored;
  return stub_->StartTask(&context, request, response == nullptr ? &ignored : response);
}

grpc::Status ExecutorProcess::Cancel(const exec::TaskRef& task, bool* known) {
  grpc::ClientContext context;
  SetDeadline(context);
  exec::CancelTaskRequest request;
  *request.mutable_task() = task;
  exec::CancelTaskResponse response;
  const grpc::Status status = stub_->CancelTask(&context, request, &response);
  if (known != nullptr) *known = response.known();
  return status;
}

std::vector<exec::Event> ExecutorProcess::ReadEvents(int64_t sequence, const Enough& enough) {
  grpc::ClientContext context;
  SetDeadline(context);
  exec::StreamEventsRequest request;
  request.set_after_sequence(sequence);
  std::vector<exec::Event> events;
  auto reader = stub_->StreamEvents(&context, request);
  exec::StreamEventsResponse batch;
  while (reader->Read(&batch)) {
    for (const exec::Event& event : batch.events()) {
      events.push_back(event);
      if (!enough(event)) continue;
      context.TryCancel();
      (void)reader->Finish();
      return events;
    }
  }
  ADD_FAILURE() << "the stream ended early: " << reader->Finish().error_message();
  return events;
}

std::vector<exec::Event> ExecutorProcess::ReadToEnd(const exec::TaskRef& task, int64_t sequence) {
  return ReadEvents(sequence, [&](const exec::Event& event) {
    return event.has_ended() && event.task().task_id() == task.task_id();
  });
}

exec::TaskEnded ExecutorProcess::ReadEnd(const exec::TaskRef& task) {
  const std::vector<exec::Event> events = ReadToEnd(task);
  return events.empty() ? exec::TaskEnded() : events.back().ended();
}

exec::Inventory ExecutorProcess::Inventory() {
  grpc::ClientContext context;
  SetDeadline(context);
  exec::GetInventoryResponse response;
  const grpc::Status status = stub_->GetInventory(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.inventory();
}

std::string ExecutorProcess::PublishedFolder(const exec::BackupSpec& spec) const {
  return absl::StrCat(repository(spec.repository()), "/vmkeep/", spec.vm_uuid(), "/",
                      spec.backup_id());
}

std::string ExecutorProcess::DiskPath(const std::string& target, const std::string& vm_name) const {
  return absl::StrCat(folder_.path("vms"), "/", executor::SimVmUuid(vm_name), "/", target, ".raw");
}

std::string ExecutorProcess::VmFile(const std::string& vm_name) const {
  return absl::StrCat(folder_.path("vms"), "/", executor::SimVmUuid(vm_name), "/vm.json");
}

vmkeep::manifest::v1::Manifest ExecutorProcess::VerifyBackup(
    const exec::BackupSpec& spec, const std::vector<std::string>& disks) {
  const std::string folder = PublishedFolder(spec);
  const std::string text = ReadFile(folder + "/manifest.json");
  auto manifest = vmkeep::manifest::Parse(text);
  EXPECT_THAT(manifest, IsOk()) << folder;
  if (!manifest.ok()) return {};
  EXPECT_EQ(manifest->disks_size(), static_cast<int>(disks.size()));
  for (int i = 0; i < manifest->disks_size() && i < static_cast<int>(disks.size()); ++i) {
    const auto& disk = manifest->disks(i);
    const std::string content = ReadFile(absl::StrCat(folder, "/", disk.file()));
    EXPECT_TRUE(content == disks[i]) << disk.file() << " is not the disk at the snapshot";
    std::string list;
    for (size_t at = 0; at < content.size(); at += digest::kChunkBytes) {
      const absl::string_view chunk =
          absl::string_view(content).substr(at, static_cast<size_t>(digest::kChunkBytes));
      absl::StrAppend(&list, digest::ToHex(digest::Hash(chunk)), "\n");
    }
    EXPECT_EQ(ReadFile(absl::StrCat(folder, "/", disk.digest().list_file())), list);
    EXPECT_EQ(disk.digest().root(), digest::ToHex(digest::Hash(list)));
  }
  for (const auto& file : manifest->files()) {
    const std::string content = ReadFile(absl::StrCat(folder, "/", file.file()));
    EXPECT_EQ(file.sha256(), digest::ToHex(digest::Hash(content))) << file.file();
  }
  return *std::move(manifest);
}

std::vector<std::string> ExecutorProcess::Leftovers() const {
  std::vector<std::string> found;
  for (int slot : {1, 2}) {
    for (const char* work : {"/vmkeep/.incoming", "/vmkeep/.scrub", "/.incoming", "/.scrub"}) {
      std::error_code absent;
      for (const auto& entry :
           std::filesystem::directory_iterator(repository(slot) + work, absent)) {
        // The executor probes all the time.
        if (absl::StartsWith(entry.path().filename().string(), ".probe-")) continue;
        found.push_back(entry.path().string());
      }
    }
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path("vms"))) {
    if (absl::StrContains(entry.path().string(), ".vmkeep-"))
      found.push_back(entry.path().string());
  }
  return found;
}

}  // namespace vmkeep::test
