#ifndef VMKEEP_CONTROLLER_SERVICE_VALIDATE_H_
#define VMKEEP_CONTROLLER_SERVICE_VALIDATE_H_

#include "controller/domain/backup.h"
#include "controller/store/backup_store.h"
#include "vmkeep/v1/backup_service.pb.h"
#include "vmkeep/v1/inventory_service.pb.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <optional>
#include <string>
#include <vector>

// Requests become values that need no further check. Pure: nothing here knows what exists. All that
// is wrong with a request is said in one answer (INVALID_ARGUMENT with BadRequest), by field.
namespace vmkeep::controller {

struct CreateInput {
  std::string vm;    // any spelling
  std::string name;  // as given: see ExpandName()
  int repository = 0;
  std::string request_id;
  std::string request_digest;  // of everything that makes the backup what it is
  bool validate_only = false;
  Labels labels;
  Quiesce quiesce = Quiesce::kIfAvailable;
};
absl::StatusOr<CreateInput> Validate(const ::vmkeep::v1::CreateBackupRequest& request);

// `{date}` and `{time}` become those of `now`, UTC. INVALID_ARGUMENT when that makes it too long.
absl::StatusOr<std::string> ExpandName(const std::string& name, absl::Time now);

absl::StatusOr<BackupId> Validate(const ::vmkeep::v1::GetBackupRequest& request);

struct ListInput {
  BackupFilter filter;
  bool oldest_first = false;
  int page_size = 0;
  std::string page_token;
  std::string query_digest;  // of filter and order: a page token belongs to them
};
absl::StatusOr<ListInput> Validate(const ::vmkeep::v1::ListBackupsRequest& request);

struct UpdateInput {
  BackupId id;
  bool scrub = false;
  std::optional<std::string> name;  // as given: see ExpandName()
  std::optional<Labels> labels;
  std::string etag;
};
absl::StatusOr<UpdateInput> Validate(const ::vmkeep::v1::UpdateBackupRequest& request);

struct RetryInput {
  BackupId id;
  std::string etag;
};
absl::StatusOr<RetryInput> Validate(const ::vmkeep::v1::RetryBackupRequest& request);

struct WatchInput {
  BackupFilter filter;
  std::string resume_token;
  bool until_settled = false;
  std::string query_digest;
};
absl::StatusOr<WatchInput> Validate(const ::vmkeep::v1::WatchBackupsRequest& request);

struct RegisterHostInput {
  HostId id;
  std::string address;  // its form and safety are common/channel's to judge
};
absl::StatusOr<RegisterHostInput> Validate(const ::vmkeep::v1::RegisterHostRequest& request);

absl::StatusOr<HostId> Validate(const ::vmkeep::v1::GetHostRequest& request);

struct UpdateHostInput {
  HostId id;
  std::optional<bool> draining;
  std::optional<std::string> executor_id;  // a UUID, lower case
};
absl::StatusOr<UpdateHostInput> Validate(const ::vmkeep::v1::UpdateHostRequest& request);

absl::StatusOr<HostId> Validate(const ::vmkeep::v1::DeleteHostRequest& request);

struct RegisterVmInput {
  std::string id;
  std::string uuid;  // lower case
};
absl::StatusOr<RegisterVmInput> Validate(const ::vmkeep::v1::RegisterVmRequest& request);

// Any spelling.
absl::StatusOr<std::string> Validate(const ::vmkeep::v1::GetVmRequest& request);

struct PageInput {
  std::vector<HostId> host_ids;
  bool on_overlay = false;
  int page_size = 0;
  std::string page_token;
  std::string query_digest;
};
absl::StatusOr<PageInput> Validate(const ::vmkeep::v1::ListHostsRequest& request);
absl::StatusOr<PageInput> Validate(const ::vmkeep::v1::ListVmsRequest& request);
absl::StatusOr<std::vector<HostId>> Validate(const ::vmkeep::v1::ListRepositoriesRequest& request);

struct InitRepositoryInput {
  HostId host_id;
  int slot = 0;
  bool allow_plain_directory = false;
};
absl::StatusOr<InitRepositoryInput> Validate(const ::vmkeep::v1::InitRepositoryRequest& request);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_VALIDATE_H_
