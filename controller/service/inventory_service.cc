#include "controller/service/inventory_service.h"

#include "common/log.h"
#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/domain/states.h"
#include "controller/service/convert.h"
#include "controller/service/validate.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::v1;

bool OneOf(const std::vector<HostId>& wanted, const HostId& host) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), host) != wanted.end();
}

// Cuts the part of `all`, which is sorted by `key`, that comes after `cursor`; sets where the next
// page begins.
template <typename T, typename Key>
std::vector<T> CutPage(std::vector<T> all, const std::string& cursor, int page_size, Key key,
                       std::string* next) {
  const auto begin = std::find_if(
      all.begin(), all.end(), [&](const T& item) { return cursor.empty() || key(item) > cursor; });
  all.erase(all.begin(), begin);
  if (all.size() > static_cast<size_t>(page_size)) {
    all.resize(static_cast<size_t>(page_size));
    *next = key(all.back());
  }
  return all;
}

// The backups under way, of this project, by VM.
absl::StatusOr<std::map<std::string, BackupId>> UnfinishedByVm(StoreView& view,
                                                               const std::string& project) {
  VMKEEP_ASSIGN_OR_RETURN(const auto open, view.ListOpen());
  std::map<std::string, BackupId> result;
  for (const BackupRecord& record : open) {
    const bool under_way =
        IsUnfinished(record.state) || (record.task_open && !record.task_is_scrub);
    if (under_way && record.project == project) result[record.vm_uuid] = record.id;
  }
  return result;
}

// What unfinished backups were promised, by repository UUID.
absl::StatusOr<std::map<std::string, int64_t>> ReservedByRepository(StoreView& view) {
  VMKEEP_ASSIGN_OR_RETURN(const auto open, view.ListOpen());
  std::map<std::string, int64_t> result;
  for (const BackupRecord& record : open) {
    if (record.task_open && !record.task_is_scrub)
      result[record.repository_id] += record.reserved_bytes;
  }
  return result;
}

}  // namespace

InventoryService::InventoryService(const Gate& gate, BackupStore& store, Inventory& inventory,
                                   TlsFiles tls, InitRepositoryVerb init_repository)
    : gate_(gate),
      store_(store),
      inventory_(inventory),
      tls_(std::move(tls)),
      init_repository_(std::move(init_repository)) {}

grpc::ServerUnaryReactor* InventoryService::RegisterHost(grpc::CallbackServerContext* context,
                                                         const pb::RegisterHostRequest* request,
                                                         pb::Host* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/RegisterHost");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  const absl::Status safe = ClientCredentialsFor(input->address, tls_).status();
  if (!safe.ok()) return Finish(reactor, safe);
  log::Info("host_registered",
            {{"host", input->id}, {"address", input->address}, {"by", caller->principal}});
  inventory_.RegisterHost(input->id, input->address,
                          [response, reactor](const absl::StatusOr<HostView>& host) {
                            if (host.ok()) *response = ToProto(*host);
                            Finish(reactor, host.status());
                          });
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::GetHost(grpc::CallbackServerContext* context,
                                                    const pb::GetHostRequest* request,
                                                    pb::Host* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/GetHost");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto id = Validate(*request);
  if (!id.ok()) return Finish(reactor, id.status());
  const auto host = inventory_.GetHost(*id);
  if (!host) return Finish(reactor, error::HostNotFound(*id));
  *response = ToProto(*host);
  return Finish(reactor, absl::OkStatus());
}

grpc::ServerUnaryReactor* InventoryService::ListHosts(grpc::CallbackServerContext* context,
                                                      const pb::ListHostsRequest* request,
                                                      pb::ListHostsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/ListHosts");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  const TokenScope scope = ScopeOf(*caller, input->query_digest);
  const auto cursor = CursorOf(scope, input->page_token);
  if (!cursor.ok()) return Finish(reactor, cursor.status());
  std::string next;
  const auto hosts = CutPage(
      inventory_.ListHosts(), *cursor, input->page_size,
      [](const HostView& host) { return host.record.id; }, &next);
  for (const HostView& host : hosts) *response->add_hosts() = ToProto(host);
  if (!next.empty()) response->set_next_page_token(MakePageToken(scope, next));
  return Finish(reactor, absl::OkStatus());
}

grpc::ServerUnaryReactor* InventoryService::UpdateHost(grpc::CallbackServerContext* context,
                                                       const pb::UpdateHostRequest* request,
                                                       pb::Host* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/UpdateHost");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  inventory_.UpdateHost(
      input->id, {input->draining, input->executor_id},
      [response, reactor, by = caller->principal](const absl::StatusOr<HostView>& host) {
        if (!host.ok()) return (void)Finish(reactor, host.status());
        log::Info("host_updated", {{"host", host->record.id},
                                   {"draining", host->record.draining},
                                   {"executor", host->record.executor_id},
                                   {"by", by}});
        *response = ToProto(*host);
        Finish(reactor, absl::OkStatus());
      });
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::DeleteHost(grpc::CallbackServerContext* context,
                                                       const pb::DeleteHostRequest* request,
                                                       google::protobuf::Empty*) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/DeleteHost");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto id = Validate(*request);
  if (!id.ok()) return Finish(reactor, id.status());
  inventory_.DeleteHost(*id, [reactor, id = *id, by = caller->principal](const absl::Status& gone) {
    if (gone.ok()) log::Info("host_deleted", {{"host", id}, {"by", by}});
    Finish(reactor, gone);
  });
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::RegisterVm(grpc::CallbackServerContext* context,
                                                       const pb::RegisterVmRequest* request,
                                                       pb::Vm* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/RegisterVm");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  inventory_.RegisterVm({caller->project, input->id, input->uuid},
                        [this, project = caller->project, input = *input, response,
                         reactor](const absl::Status& registered) {
                          if (!registered.ok()) return (void)Finish(reactor, registered);
                          auto vm = inventory_.ResolveVm(project, input.id);
                          // No host reports it yet, or several do: what is known is what was asked.
                          ResolvedVm known;
                          known.vm.uuid = input.uuid;
                          known.registered_id = input.id;
                          ReplyVm(project, vm.ok() ? *std::move(vm) : std::move(known), response,
                                  reactor);
                        });
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::GetVm(grpc::CallbackServerContext* context,
                                                  const pb::GetVmRequest* request,
                                                  pb::Vm* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/GetVm");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto spelling = Validate(*request);
  if (!spelling.ok()) return Finish(reactor, spelling.status());
  auto vm = inventory_.ResolveVm(caller->project, *spelling);
  if (!vm.ok()) return Finish(reactor, vm.status());
  ReplyVm(caller->project, *std::move(vm), response, reactor);
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::ListVms(grpc::CallbackServerContext* context,
                                                    const pb::ListVmsRequest* request,
                                                    pb::ListVmsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/ListVms");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  const TokenScope scope = ScopeOf(*caller, input->query_digest);
  const auto cursor = CursorOf(scope, input->page_token);
  if (!cursor.ok()) return Finish(reactor, cursor.status());
  std::vector<ResolvedVm> vms = inventory_.ListVms(caller->project);
  std::erase_if(vms, [&](const ResolvedVm& vm) {
    return !OneOf(input->host_ids, vm.vm.host_id) || (input->on_overlay && !vm.vm.overlay);
  });
  std::string next;
  vms = CutPage(
      std::move(vms), *cursor, input->page_size, [](const ResolvedVm& vm) { return vm.vm.uuid; },
      &next);
  if (!next.empty()) response->set_next_page_token(MakePageToken(scope, next));
  store_.Read([project = caller->project, vms = std::move(vms), response,
               reactor](absl::StatusOr<StoreView*> view) {
    if (!view.ok()) return (void)Finish(reactor, view.status());
    auto unfinished = UnfinishedByVm(**view, project);
    if (!unfinished.ok()) return (void)Finish(reactor, unfinished.status());
    for (const ResolvedVm& vm : vms)
      *response->add_vms() = ToProto(vm, project, (*unfinished)[vm.vm.uuid]);
    Finish(reactor, absl::OkStatus());
  });
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::InitRepository(grpc::CallbackServerContext* context,
                                                           const pb::InitRepositoryRequest* request,
                                                           pb::Repository* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/InitRepository");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  if (!inventory_.GetHost(input->host_id))
    return Finish(reactor, error::HostNotFound(input->host_id));
  log::Info("repository_init",
            {{"host", input->host_id}, {"slot", input->slot}, {"by", caller->principal}});
  init_repository_(input->host_id, input->slot, input->allow_plain_directory,
                   [response, reactor](const absl::StatusOr<RepositoryRecord>& repository) {
                     if (repository.ok()) *response = ToProto(*repository, 0);
                     Finish(reactor, repository.status());
                   });
  return reactor;
}

grpc::ServerUnaryReactor* InventoryService::ListRepositories(
    grpc::CallbackServerContext* context, const pb::ListRepositoriesRequest* request,
    pb::ListRepositoriesResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.InventoryService/ListRepositories");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto host_ids = Validate(*request);
  if (!host_ids.ok()) return Finish(reactor, host_ids.status());
  std::vector<RepositoryRecord> repositories = inventory_.ListAllRepositories();
  std::erase_if(repositories,
                [&](const RepositoryRecord& r) { return !OneOf(*host_ids, r.host_id); });
  store_.Read(
      [repositories = std::move(repositories), response, reactor](absl::StatusOr<StoreView*> view) {
        if (!view.ok()) return (void)Finish(reactor, view.status());
        auto reserved = ReservedByRepository(**view);
        if (!reserved.ok()) return (void)Finish(reactor, reserved.status());
        for (const RepositoryRecord& repository : repositories) {
          *response->add_repositories() = ToProto(repository, (*reserved)[repository.id]);
        }
        Finish(reactor, absl::OkStatus());
      });
  return reactor;
}

void InventoryService::ReplyVm(const std::string& project, ResolvedVm vm, pb::Vm* response,
                               grpc::ServerUnaryReactor* reactor) {
  store_.Read([project, vm = std::move(vm), response, reactor](absl::StatusOr<StoreView*> view) {
    if (!view.ok()) return (void)Finish(reactor, view.status());
    auto unfinished = UnfinishedByVm(**view, project);
    if (!unfinished.ok()) return (void)Finish(reactor, unfinished.status());
    *response = ToProto(vm, project, (*unfinished)[vm.vm.uuid]);
    Finish(reactor, absl::OkStatus());
  });
}

absl::StatusOr<std::string> InventoryService::CursorOf(const TokenScope& scope,
                                                       const std::string& page_token) const {
  if (page_token.empty()) return std::string();
  return ParsePageToken(scope, page_token);
}

TokenScope InventoryService::ScopeOf(const Caller& caller, const std::string& query_digest) const {
  return {store_.controller_id(), absl::StrCat(caller.project, "/", query_digest)};
}

}  // namespace vmkeep::controller
