#include "controller/service/backup_service.h"

#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/service/convert.h"
#include "controller/service/create_backup.h"
#include "controller/service/retry_backup.h"
#include "controller/service/tokens.h"
#include "controller/service/update_backup.h"

#include "absl/strings/str_cat.h"

#include <utility>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::v1;

// A watch that is refused before it begins.
class RefusedWatch final : public grpc::ServerWriteReactor<pb::WatchBackupsResponse> {
 public:
  explicit RefusedWatch(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

// One more than the page, to know whether there is a next one.
absl::StatusOr<BackupQuery> ToQuery(const Caller& caller, const ListInput& input,
                                    const TokenScope& scope) {
  BackupQuery query;
  query.project = caller.project;
  query.filter = input.filter;
  query.oldest_first = input.oldest_first;
  query.limit = input.page_size + 1;
  if (input.page_token.empty()) return query;
  VMKEEP_ASSIGN_OR_RETURN(const std::string cursor, ParsePageToken(scope, input.page_token));
  VMKEEP_ASSIGN_OR_RETURN(query.after, ParsePosition(cursor));
  return query;
}

absl::Status FillPage(StoreView& view, const BackupQuery& query, const TokenScope& scope,
                      const LiveState& live, pb::ListBackupsResponse* response) {
  VMKEEP_ASSIGN_OR_RETURN(auto records, view.List(query));
  const size_t page_size = static_cast<size_t>(query.limit) - 1;
  if (records.size() > page_size) {
    records.resize(page_size);
    const BackupRecord& last = records.back();
    response->set_next_page_token(
        MakePageToken(scope, FormatPosition({last.create_time, last.id})));
  }
  for (BackupRecord& record : records)
    *response->add_backups() = ToProto(live.View(std::move(record)));
  return absl::OkStatus();
}

}  // namespace

BackupService::BackupService(const Gate& gate, BackupStore& store, const Inventory& inventory,
                             const LiveState& live, WatchHub& hub, Clock& clock,
                             WatchStreamOptions watch_options)
    : gate_(gate),
      store_(store),
      inventory_(inventory),
      live_(live),
      hub_(hub),
      clock_(clock),
      watch_options_(std::move(watch_options)) {}

grpc::ServerUnaryReactor* BackupService::CreateBackup(grpc::CallbackServerContext* context,
                                                      const pb::CreateBackupRequest* request,
                                                      pb::Backup* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.BackupService/CreateBackup");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  controller::CreateBackup(store_, inventory_, clock_, *caller, *input,
                           [this, response, reactor](const absl::StatusOr<BackupRecord>& record) {
                             Reply(record, response, reactor);
                           });
  return reactor;
}

grpc::ServerUnaryReactor* BackupService::GetBackup(grpc::CallbackServerContext* context,
                                                   const pb::GetBackupRequest* request,
                                                   pb::Backup* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.BackupService/GetBackup");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto id = Validate(*request);
  if (!id.ok()) return Finish(reactor, id.status());
  store_.Read([this, project = caller->project, id = *id, response,
               reactor](absl::StatusOr<StoreView*> view) {
    if (!view.ok()) return Reply(view.status(), response, reactor);
    auto found = (*view)->Get(project, id);
    if (!found.ok()) return Reply(found.status(), response, reactor);
    if (!found->has_value()) return Reply(error::BackupNotFound(id), response, reactor);
    Reply(**std::move(found), response, reactor);
  });
  return reactor;
}

grpc::ServerUnaryReactor* BackupService::ListBackups(grpc::CallbackServerContext* context,
                                                     const pb::ListBackupsRequest* request,
                                                     pb::ListBackupsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.BackupService/ListBackups");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  const TokenScope scope = ScopeOf(*caller, input->query_digest);
  auto query = ToQuery(*caller, *input, scope);
  if (!query.ok()) return Finish(reactor, query.status());
  query->filter = Spelled(*caller, std::move(query->filter));
  store_.Read([this, query = *query, scope, response, reactor](absl::StatusOr<StoreView*> view) {
    Finish(reactor, view.ok() ? FillPage(**view, query, scope, live_, response) : view.status());
  });
  return reactor;
}

grpc::ServerUnaryReactor* BackupService::UpdateBackup(grpc::CallbackServerContext* context,
                                                      const pb::UpdateBackupRequest* request,
                                                      pb::Backup* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.BackupService/UpdateBackup");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  controller::UpdateBackup(store_, clock_, *caller, *input,
                           [this, response, reactor](const absl::StatusOr<BackupRecord>& record) {
                             Reply(record, response, reactor);
                           });
  return reactor;
}

grpc::ServerUnaryReactor* BackupService::RetryBackup(grpc::CallbackServerContext* context,
                                                     const pb::RetryBackupRequest* request,
                                                     pb::Backup* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.BackupService/RetryBackup");
  if (!caller.ok()) return Finish(reactor, caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return Finish(reactor, input.status());
  controller::RetryBackup(store_, inventory_, *caller, *input,
                          [this, response, reactor](const absl::StatusOr<BackupRecord>& record) {
                            Reply(record, response, reactor);
                          });
  return reactor;
}

grpc::ServerWriteReactor<pb::WatchBackupsResponse>* BackupService::WatchBackups(
    grpc::CallbackServerContext* context, const pb::WatchBackupsRequest* request) {
  const auto caller = gate_.Admit(*context, "/vmkeep.v1.BackupService/WatchBackups");
  if (!caller.ok()) return new RefusedWatch(caller.status());
  const auto input = Validate(*request);
  if (!input.ok()) return new RefusedWatch(input.status());
  auto watch = ToWatch(*caller, *input);
  if (!watch.ok()) return new RefusedWatch(watch.status());
  return WatchStream::Start(hub_, *std::move(watch), ScopeOf(*caller, input->query_digest),
                            watch_options_);
}

void BackupService::Reply(const absl::StatusOr<BackupRecord>& record, pb::Backup* response,
                          grpc::ServerUnaryReactor* reactor) const {
  if (record.ok()) *response = ToProto(live_.View(*record));
  Finish(reactor, record.status());
}

BackupFilter BackupService::Spelled(const Caller& caller, BackupFilter filter) const {
  for (std::string& vm : filter.vms) vm = inventory_.UuidOf(caller.project, vm);
  return filter;
}

TokenScope BackupService::ScopeOf(const Caller& caller, const std::string& query_digest) const {
  return {store_.controller_id(), absl::StrCat(caller.project, "/", query_digest)};
}

absl::StatusOr<WatchHub::Request> BackupService::ToWatch(const Caller& caller,
                                                         const WatchInput& input) const {
  WatchHub::Request watch;
  watch.project = caller.project;
  watch.filter = Spelled(caller, input.filter);
  watch.until_settled = input.until_settled;
  if (input.resume_token.empty()) return watch;
  VMKEEP_ASSIGN_OR_RETURN(
      watch.after_revision,
      ParseResumeToken(ScopeOf(caller, input.query_digest), input.resume_token));
  return watch;
}

}  // namespace vmkeep::controller
