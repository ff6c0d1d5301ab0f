#include "controller/domain/errors.h"

#include "common/error.h"
#include "controller/domain/states.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace vmkeep::controller::error {
namespace {

constexpr absl::Duration kRetrySoon = absl::Seconds(5);
constexpr absl::Duration kRetryLater = absl::Seconds(30);

ErrorMetadata Of(const RepositoryName& name) {
  return {{"repository", absl::StrCat(name.slot)}, {"host_id", name.host_id}};
}

// "repository 1 (primary, /mnt/backup-p) of host kvm-1"
std::string Describe(const RepositoryName& name) {
  return absl::StrCat("repository ", name.slot, " (", name.slot == 1 ? "primary" : "secondary",
                      name.path.empty() ? "" : ", ", name.path, ") of host ", name.host_id);
}

std::string Gib(int64_t bytes) {
  return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (int64_t{1} << 30));
}

}  // namespace

absl::Status BackupNotFound(absl::string_view id) {
  return WithResource(MakeError(absl::StatusCode::kNotFound, "BACKUP_NOT_FOUND",
                                absl::StrCat("there is no backup with id \"", id,
                                             "\": list the backups to find its id"),
                                {{"backup_id", std::string(id)}}),
                      "vmkeep.v1.Backup", id);
}

absl::Status VmNotFound(absl::string_view spelling) {
  return WithResource(
      MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND",
                absl::StrCat("no host reports a VM \"", spelling,
                             "\": check the spelling, and that its host is registered and online"),
                {{"vm_id", std::string(spelling)}}),
      "vmkeep.v1.Vm", spelling);
}

absl::Status HostNotFound(absl::string_view id) {
  return WithResource(
      MakeError(
          absl::StatusCode::kNotFound, "HOST_NOT_FOUND",
          absl::StrCat("host \"", id, "\" is not registered: register it with its address first"),
          {{"host_id", std::string(id)}}),
      "vmkeep.v1.Host", id);
}

absl::Status VmNameAmbiguous(absl::string_view name, const std::vector<std::string>& vm_uuids) {
  const std::string uuids = absl::StrJoin(vm_uuids, ",");
  return WithPrecondition(MakeError(absl::StatusCode::kFailedPrecondition, "VM_AMBIGUOUS",
                                    absl::StrCat("the name \"", name, "\" fits ", vm_uuids.size(),
                                                 " VMs (", absl::StrJoin(vm_uuids, ", "),
                                                 "): give the UUID of the one that is meant"),
                                    {{"vm_id", std::string(name)}, {"vm_uuids", uuids}}),
                          "VM_AMBIGUOUS", name, "the name must fit one VM");
}

absl::Status VmHostAmbiguous(absl::string_view vm_uuid, const std::vector<HostId>& host_ids) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "VM_AMBIGUOUS",
                absl::StrCat("VM ", vm_uuid, " is defined on several hosts (",
                             absl::StrJoin(host_ids, ", "),
                             ") and not exactly one of them runs it: undefine it where it does not "
                             "belong, or wait until "
                             "a migration has ended"),
                {{"vm_uuid", std::string(vm_uuid)}, {"host_ids", absl::StrJoin(host_ids, ",")}}),
      "VM_AMBIGUOUS", vm_uuid, "exactly one host must run the VM");
}

absl::Status NameTaken(absl::string_view name, absl::string_view backup_id) {
  return WithResource(
      MakeError(absl::StatusCode::kAlreadyExists, "NAME_TAKEN",
                absl::StrCat(
                    "this VM already has a backup named \"", name, "\" (", backup_id,
                    "): choose another name (\"{date}\" and \"{time}\" in it become those of the "
                    "request), or scrub that backup first"),
                {{"backup_id", std::string(backup_id)}, {"name", std::string(name)}}),
      "vmkeep.v1.Backup", backup_id);
}

absl::Status VmHasUnfinishedBackup(absl::string_view vm, absl::string_view backup_id) {
  return WithPrecondition(
      WithResource(MakeError(absl::StatusCode::kFailedPrecondition, "UNFINISHED_BACKUP",
                             absl::StrCat("VM ", vm, " has an unfinished backup (", backup_id,
                                          "): wait until it ends, or scrub it to cancel it"),
                             {{"backup_id", std::string(backup_id)}}),
                   "vmkeep.v1.Backup", backup_id),
      "UNFINISHED_BACKUP", backup_id, "one unfinished backup per VM");
}

absl::Status VmOnOverlay(absl::string_view vm, absl::string_view vm_uuid,
                         absl::string_view backup_id, absl::string_view remedy) {
  ErrorMetadata metadata{{"vm_uuid", std::string(vm_uuid)}};
  if (!backup_id.empty()) metadata["backup_id"] = std::string(backup_id);
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "VM_ON_OVERLAY",
                absl::StrCat("VM ", vm, " still runs on the overlay of an earlier backup: ",
                             remedy.empty() ? "wait until its host has merged it" : remedy),
                metadata),
      "VM_ON_OVERLAY", vm_uuid, "the overlay must be merged");
}

absl::Status IllegalTransition(BackupState from, BackupState to) {
  const absl::string_view remedy =
      from == BackupState::kClosed    ? "it is gone and only its record stays"
      : to == BackupState::kRequested ? "only one that is UNRESOURCED can be tried again"
                                      : "a user may only ask for SCRUB, the rest follows by itself";
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "ILLEGAL_TRANSITION",
                absl::StrCat("a backup that is ", StateName(from), " cannot become ", StateName(to),
                             ": ", remedy),
                {{"from", std::string(StateName(from))}, {"to", std::string(StateName(to))}}),
      "STATE", StateName(from), remedy);
}

absl::Status RequestIdReused(absl::string_view request_id, absl::string_view backup_id) {
  return WithResource(
      MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                absl::StrCat("request_id \"", request_id,
                             "\" was used for another request, which made backup ", backup_id,
                             ": give every new request its own request_id"),
                {{"backup_id", std::string(backup_id)}, {"field", "request_id"}}),
      "vmkeep.v1.Backup", backup_id);
}

absl::Status EtagMismatch(absl::string_view id, absl::string_view given, absl::string_view now) {
  return WithResource(
      MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                absl::StrCat("backup ", id, " changed since it was read (etag ", given, ", now ",
                             now, "): read it again and decide again"),
                {{"backup_id", std::string(id)}, {"etag", std::string(now)}}),
      "vmkeep.v1.Backup", id);
}

std::string SlotName(int slot) {
  return absl::StrCat("repository ", slot,
                      slot == 1   ? " (primary)"
                      : slot == 2 ? " (secondary)"
                                  : "");
}

absl::Status RepositoryUninitialized(const RepositoryName& name) {
  return WithPrecondition(
      MakeError(
          absl::StatusCode::kFailedPrecondition, "REPOSITORY_UNINITIALIZED",
          absl::StrCat(
              Describe(name),
              " bears no marker: check that it is mounted, then initialise it once (vmkeepctl "
              "repo init)"),
          Of(name)),
      "REPOSITORY_UNINITIALIZED", Describe(name), "the repository must be initialised");
}

absl::Status RepositoryIll(const RepositoryName& name, absl::string_view message) {
  return WithRetryAfter(
      MakeError(absl::StatusCode::kUnavailable, "REPOSITORY_ILL",
                absl::StrCat(Describe(name), " cannot be used right now (", message,
                             "): check its mount and its NAS, or use the other repository"),
                Of(name)),
      kRetryLater);
}

absl::Status RepositoryFull(const RepositoryName& name, int64_t needed_bytes,
                            int64_t available_bytes) {
  ErrorMetadata metadata = Of(name);
  metadata["needed_bytes"] = absl::StrCat(needed_bytes);
  metadata["available_bytes"] = absl::StrCat(available_bytes);
  return MakeError(absl::StatusCode::kResourceExhausted, "REPOSITORY_FULL",
                   absl::StrCat(Describe(name), " has ", Gib(available_bytes),
                                " left after what other backups were promised, ", Gib(needed_bytes),
                                " are needed: scrub old backups or use the other repository"),
                   metadata);
}

absl::Status NoRepository(absl::string_view why, bool passing) {
  absl::Status status =
      MakeError(passing ? absl::StatusCode::kUnavailable : absl::StatusCode::kFailedPrecondition,
                "NO_REPOSITORY", absl::StrCat("no repository can take this backup: ", why));
  return passing ? WithRetryAfter(std::move(status), kRetryLater) : status;
}

absl::Status StaleTask(const BackupRecord& record, absl::string_view what) {
  return MakeError(
      absl::StatusCode::kAborted, "STALE_TASK",
      absl::StrCat(what, " comes too late: backup ", record.id, " is ", StateName(record.state),
                   " at epoch ", record.epoch, "; look at the record again"),
      {{"backup_id", record.id}, {"epoch", absl::StrCat(record.epoch)}});
}

absl::Status HostChanged(absl::string_view host_id, absl::string_view pinned,
                         absl::string_view answered) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "HOST_CHANGED",
                absl::StrCat("another executor (", answered, ") answers for host \"", host_id,
                             "\", known is ", pinned,
                             ": correct the address, or confirm that the host was set up anew"),
                {{"host_id", std::string(host_id)},
                 {"pinned", std::string(pinned)},
                 {"answered", std::string(answered)}}),
      "HOST_CHANGED", host_id, "the executor must be the one that was pinned");
}

absl::Status ExecutorTaken(absl::string_view executor_id, absl::string_view host_id) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "EXECUTOR_TAKEN",
                absl::StrCat("executor ", executor_id, " is registered as host \"", host_id,
                             "\" already: register each host once, under one id"),
                {{"executor_id", std::string(executor_id)}, {"host_id", std::string(host_id)}}),
      "EXECUTOR_TAKEN", host_id, "one executor is one host");
}

absl::Status ExecutorNotSeen(absl::string_view host_id, absl::string_view executor_id,
                             absl::string_view answered) {
  const std::string now =
      answered.empty() ? "none was refused there" : absl::StrCat("it was ", answered);
  return WithPrecondition(
      MakeError(
          absl::StatusCode::kFailedPrecondition, "EXECUTOR_NOT_SEEN",
          absl::StrCat("executor ", executor_id, " is not the one that was refused for host \"",
                       host_id, "\" (", now,
                       "): confirm the one that the host's message names, while it is REFUSED"),
          {{"host_id", std::string(host_id)},
           {"executor_id", std::string(executor_id)},
           {"answered", std::string(answered)}}),
      "EXECUTOR_NOT_SEEN", host_id, "the executor must have answered and been refused");
}

absl::Status StaleExecutor(absl::string_view host_id, absl::string_view executor_id) {
  return MakeError(absl::StatusCode::kAborted, "STALE_EXECUTOR",
                   absl::StrCat("executor ", executor_id, " has no say for host \"", host_id,
                                "\" any more: another one was confirmed, or the host was deleted"),
                   {{"host_id", std::string(host_id)}, {"executor_id", std::string(executor_id)}});
}

absl::Status VmRegistered(absl::string_view id, absl::string_view vm_uuid) {
  return WithResource(
      MakeError(absl::StatusCode::kAlreadyExists, "VM_REGISTERED",
                absl::StrCat("VM ", vm_uuid, " is registered as \"", id,
                             "\": each id means one VM for good, and each VM has one"),
                {{"vm_id", std::string(id)}, {"vm_uuid", std::string(vm_uuid)}}),
      "vmkeep.v1.Vm", id);
}

absl::Status VmIdIsAName(absl::string_view id, absl::string_view vm_uuid) {
  return WithResource(
      MakeError(absl::StatusCode::kAlreadyExists, "VM_ID_IS_A_NAME",
                absl::StrCat("\"", id, "\" is the name of another VM (", vm_uuid,
                             "), which would not be found by it any more: choose another id"),
                {{"vm_id", std::string(id)}, {"vm_uuid", std::string(vm_uuid)}}),
      "vmkeep.v1.Vm", vm_uuid);
}

absl::Status FilesOnOtherHost(const BackupRecord& record, absl::string_view vm_host_id) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "FILES_ON_OTHER_HOST",
                absl::StrCat("files of the failed try may lie in repository ", record.repository_id,
                             ", where only host \"", record.host_id,
                             "\" can remove them, and the VM is on host \"", vm_host_id,
                             "\" now: scrub this backup and ask for a new one"),
                {{"host_id", record.host_id}, {"vm_host_id", std::string(vm_host_id)}}),
      "FILES_ON_OTHER_HOST", record.id, "the VM must be on the host of the failed try");
}

absl::Status HostInUse(absl::string_view host_id) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "HOST_IN_USE",
                absl::StrCat("host \"", host_id,
                             "\" still has backups that are not CLOSED: scrub them first, or drain "
                             "the host instead of deleting it"),
                {{"host_id", std::string(host_id)}}),
      "HOST_IN_USE", host_id, "all its backups must be CLOSED");
}

absl::Status StoreLocked(absl::string_view path, absl::string_view holder) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "STORE_LOCKED",
                absl::StrCat("the store ", path, " is in use by ", holder,
                             ": only one controller may use it; stop the other one first"),
                {{"path", std::string(path)}}),
      "STORE_LOCKED", path, "only one controller may use an embedded store");
}

absl::Status StoreClosed() {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, "STORE_CLOSED",
                                  "the controller is stopping: try again in a moment"),
                        kRetrySoon);
}

absl::Status WatchDraining(int64_t revision) {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, "DRAINING",
                                  "the controller is stopping: watch again with the last resume "
                                  "token to go on without a gap",
                                  {{"revision", absl::StrCat(revision)}}),
                        kRetrySoon);
}

absl::Status BadPageToken() {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PAGE_TOKEN",
                   "this page_token does not belong to this request: use next_page_token of the "
                   "page before with the same "
                   "filter, or leave it out to begin again",
                   {{"field", "page_token"}});
}

absl::Status BadResumeToken() {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_RESUME_TOKEN",
                   "this resume_token is not one of this controller's: leave it out to begin with "
                   "all that match",
                   {{"field", "resume_token"}});
}

}  // namespace vmkeep::controller::error
