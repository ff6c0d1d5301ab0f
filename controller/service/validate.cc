#include "controller/service/validate.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "controller/service/digest.h"
#include "controller/service/validate_fields.h"
#include "controller/service/violations.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include <algorithm>
#include <set>
#include <vector>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::v1;
using ::vmkeep::v1::Backup;

// The same backup is asked for, whatever helps only the call: not request_id, not validate_only.
std::string DigestOfWhatIsAsked(const pb::CreateBackupRequest& request) {
  pb::CreateBackupRequest asked = request;
  asked.clear_request_id();
  asked.clear_validate_only();
  if (asked.quiesce() == Backup::QUIESCE_UNSPECIFIED) asked.set_quiesce(Backup::IF_AVAILABLE);
  return DigestOf(asked);
}

// The fields that the mask names; others than the `accepted` ones cannot be changed.
std::set<std::string> FieldsOf(const google::protobuf::FieldMask& mask,
                               const std::vector<std::string>& accepted, Violations& found) {
  std::set<std::string> fields;
  for (const std::string& path : mask.paths()) {
    if (std::find(accepted.begin(), accepted.end(), path) != accepted.end()) {
      fields.insert(path);
    } else {
      found.Add("update_mask",
                absl::StrCat("\"", Printable(path),
                             "\" cannot be changed; accepted: ", absl::StrJoin(accepted, ", ")));
    }
  }
  return fields;
}

// The fields that an update names: those of the mask, else those that are present.
std::set<std::string> FieldsToChange(const pb::UpdateBackupRequest& request, Violations& found) {
  if (request.has_update_mask())
    return FieldsOf(request.update_mask(), {"state", "name", "labels"}, found);
  std::set<std::string> fields;
  if (request.has_state() && request.state() != Backup::STATE_UNSPECIFIED) fields.insert("state");
  if (request.has_name()) fields.insert("name");
  if (!request.labels().empty()) fields.insert("labels");
  return fields;
}

// The same for a host.
std::set<std::string> FieldsToChange(const pb::UpdateHostRequest& request, Violations& found) {
  if (request.has_update_mask())
    return FieldsOf(request.update_mask(), {"draining", "executor_id"}, found);
  std::set<std::string> fields;
  if (request.has_draining()) fields.insert("draining");
  if (request.has_executor_id()) fields.insert("executor_id");
  return fields;
}

void CheckNewState(const pb::UpdateBackupRequest& request, UpdateInput& input, Violations& found) {
  if (request.state() == Backup::SCRUB) {
    input.scrub = true;
  } else if (!request.has_state() || request.state() == Backup::STATE_UNSPECIFIED) {
    found.Add("state", "is named by update_mask and not given; the only accepted value is SCRUB");
  } else {
    found.Add("state",
              "the only accepted value is SCRUB: all other states come from the work itself");
  }
}

}  // namespace

absl::StatusOr<CreateInput> Validate(const pb::CreateBackupRequest& request) {
  Violations found;
  found.CheckText("vm_id", request.vm_id(), 1, kMaxVmId);
  found.CheckText("name", request.name(), 1, kMaxName);
  found.CheckText("request_id", request.request_id(), 0, kMaxRequestId);
  if (request.repository() < 0 || request.repository() > 2) {
    found.Add("repository", "accepted: 1 (primary), 2 (secondary), 0 (the controller chooses)");
  }
  CheckLabels("labels", request.labels(), found);
  if (!Backup::Quiesce_IsValid(request.quiesce())) {
    found.Add("quiesce", "accepted: IF_AVAILABLE, REQUIRED, NEVER");
  }
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  const bool given = request.quiesce() != Backup::QUIESCE_UNSPECIFIED;
  return CreateInput{
      .vm = request.vm_id(),
      .name = request.name(),
      .repository = request.repository(),
      .request_id = request.request_id(),
      .request_digest = DigestOfWhatIsAsked(request),
      .validate_only = request.validate_only(),
      .labels = {request.labels().begin(), request.labels().end()},
      .quiesce = given ? static_cast<Quiesce>(request.quiesce()) : Quiesce::kIfAvailable};
}

absl::StatusOr<std::string> ExpandName(const std::string& name, absl::Time now) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  std::string expanded =
      absl::StrReplaceAll(name, {{"{date}", absl::FormatTime("%Y-%m-%d", now, utc)},
                                 {"{time}", absl::FormatTime("%H:%M:%S", now, utc)}});
  Violations found;
  found.CheckText("name", expanded, 1, kMaxName);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return expanded;
}

absl::StatusOr<BackupId> Validate(const pb::GetBackupRequest& request) {
  Violations found;
  CheckBackupId("id", request.id(), found);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return request.id();
}

absl::StatusOr<ListInput> Validate(const pb::ListBackupsRequest& request) {
  Violations found;
  ListInput input;
  input.filter = ToFilter(request.filter(), found);
  input.page_size = ToPageSize(request.page_size(), found);
  if (request.order_by() == "create_time") {
    input.oldest_first = true;
  } else if (!request.order_by().empty() && request.order_by() != "create_time desc") {
    found.Add("order_by", "accepted: \"create_time desc\" (also when empty), \"create_time\"");
  }
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  input.page_token = request.page_token();
  input.query_digest = DigestOf(request.filter()) + (input.oldest_first ? "+" : "-");
  return input;
}

absl::StatusOr<UpdateInput> Validate(const pb::UpdateBackupRequest& request) {
  Violations found;
  UpdateInput input{.id = request.id(), .name = {}, .labels = {}, .etag = request.etag()};
  CheckBackupId("id", request.id(), found);
  const std::set<std::string> fields = FieldsToChange(request, found);
  if (fields.contains("state")) CheckNewState(request, input, found);
  if (fields.contains("name")) {
    found.CheckText("name", request.name(), 1, kMaxName);
    input.name = request.name();
  }
  if (fields.contains("labels")) {
    CheckLabels("labels", request.labels(), found);
    input.labels = Labels(request.labels().begin(), request.labels().end());
  }
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  if (fields.empty())
    return InvalidArgument("update_mask", "nothing to change: give state, name or labels");
  return input;
}

absl::StatusOr<RetryInput> Validate(const pb::RetryBackupRequest& request) {
  Violations found;
  CheckBackupId("id", request.id(), found);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return RetryInput{request.id(), request.etag()};
}

absl::StatusOr<WatchInput> Validate(const pb::WatchBackupsRequest& request) {
  Violations found;
  WatchInput input;
  input.filter = ToFilter(request.filter(), found);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  input.resume_token = request.resume_token();
  input.until_settled = request.until_settled();
  input.query_digest = DigestOf(request.filter());
  return input;
}

absl::StatusOr<RegisterHostInput> Validate(const pb::RegisterHostRequest& request) {
  Violations found;
  CheckHostId("id", request.id(), found);
  found.CheckText("address", request.address(), 1, kMaxAddress);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return RegisterHostInput{request.id(), request.address()};
}

absl::StatusOr<HostId> Validate(const pb::GetHostRequest& request) {
  Violations found;
  CheckHostId("id", request.id(), found);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return request.id();
}

absl::StatusOr<UpdateHostInput> Validate(const pb::UpdateHostRequest& request) {
  Violations found;
  CheckHostId("id", request.id(), found);
  UpdateHostInput input{.id = request.id(), .draining = {}, .executor_id = {}};
  for (const std::string& field : FieldsToChange(request, found)) {
    if (field == "draining") input.draining = request.draining();
    if (field != "executor_id") continue;
    input.executor_id = absl::AsciiStrToLower(request.executor_id());
    if (!IsUuid(*input.executor_id)) found.Add("executor_id", "must be an executor's UUID");
  }
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  if (!input.draining && !input.executor_id)
    return InvalidArgument("update_mask", "nothing to change: give draining or executor_id");
  return input;
}

absl::StatusOr<HostId> Validate(const pb::DeleteHostRequest& request) {
  Violations found;
  CheckHostId("id", request.id(), found);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return request.id();
}

absl::StatusOr<RegisterVmInput> Validate(const pb::RegisterVmRequest& request) {
  Violations found;
  RegisterVmInput input{request.id(), absl::AsciiStrToLower(request.uuid())};
  found.CheckText("id", request.id(), 1, kMaxVmId);
  if (!IsUuid(input.uuid)) found.Add("uuid", "must be the hypervisor's UUID of the VM");
  const std::string as_uuid = absl::AsciiStrToLower(request.id());
  if (IsUuid(as_uuid)) {
    if (as_uuid == input.uuid) {
      input.id = as_uuid;
    } else {
      found.Add("id", "is the UUID of another VM than `uuid`");
    }
  }
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return input;
}

absl::StatusOr<std::string> Validate(const pb::GetVmRequest& request) {
  Violations found;
  found.CheckText("id", request.id(), 1, kMaxVmId);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return request.id();
}

absl::StatusOr<PageInput> Validate(const pb::ListHostsRequest& request) {
  Violations found;
  PageInput input{.host_ids = {},
                  .on_overlay = false,
                  .page_size = ToPageSize(request.page_size(), found),
                  .page_token = request.page_token(),
                  .query_digest = "hosts"};
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return input;
}

absl::StatusOr<PageInput> Validate(const pb::ListVmsRequest& request) {
  Violations found;
  PageInput input{.host_ids = ToHostIds("host_ids", request.host_ids(), found),
                  .on_overlay = request.on_overlay(),
                  .page_size = ToPageSize(request.page_size(), found),
                  .page_token = request.page_token(),
                  .query_digest = {}};
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  pb::ListVmsRequest query;
  *query.mutable_host_ids() = request.host_ids();
  query.set_on_overlay(request.on_overlay());
  input.query_digest = DigestOf(query);
  return input;
}

absl::StatusOr<std::vector<HostId>> Validate(const pb::ListRepositoriesRequest& request) {
  Violations found;
  std::vector<HostId> host_ids = ToHostIds("host_ids", request.host_ids(), found);
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return host_ids;
}

absl::StatusOr<InitRepositoryInput> Validate(const pb::InitRepositoryRequest& request) {
  Violations found;
  CheckHostId("host_id", request.host_id(), found);
  if (request.slot() != 1 && request.slot() != 2) {
    found.Add("slot", "accepted: 1 (primary), 2 (secondary)");
  }
  VMKEEP_RETURN_IF_ERROR(found.ToStatus());
  return InitRepositoryInput{request.host_id(), request.slot(), request.allow_plain_directory()};
}

}  // namespace vmkeep::controller
