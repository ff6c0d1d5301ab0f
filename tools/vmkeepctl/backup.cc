#include "common/error.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "tools/vmkeepctl/backup_text.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/progress.h"
#include "tools/vmkeepctl/wait.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::ctl {
namespace {

// --- create

struct CreateOptions {
  std::string vm;
  std::string name;
  int repository = 0;
  std::vector<std::string> labels;
  std::string quiesce;
  std::string request_id;
  bool validate_only = false;
  bool wait = false;
};

// By the name on the command line.
const std::map<std::string, v1::Backup::Quiesce>& QuiesceNames() {
  static const auto& names =
      *new std::map<std::string, v1::Backup::Quiesce>{{"", v1::Backup::QUIESCE_UNSPECIFIED},
                                                      {"if-available", v1::Backup::IF_AVAILABLE},
                                                      {"required", v1::Backup::REQUIRED},
                                                      {"never", v1::Backup::NEVER}};
  return names;
}

CLI::Validator CheckQuiesce() {
  return OneOf({"if-available", "required", "never"}, [](const std::string& text) -> std::string {
    if (!text.empty() && QuiesceNames().contains(text)) return {};
    return absl::StrCat("\"", text, "\" is not if-available, required or never");
  });
}

void DescribeCreate(CLI::App& command, CreateOptions& options) {
  command.add_option("VM", options.vm, "the VM: its registered id, its UUID, or its name")
      ->required();
  command
      .add_option("NAME", options.name,
                  "the backup's name; {date} and {time} in it become those of the request, UTC")
      ->required();
  command
      .add_option("--repository", options.repository,
                  "1 or primary, 2 or secondary; else the controller chooses")
      ->type_name("REPOSITORY")
      ->transform(SlotNames());
  AddLabels(command, options.labels, "a label of the backup");
  command
      .add_option("--quiesce", options.quiesce,
                  "freeze the guest: if-available (default), required or never")
      ->type_name("POLICY")
      ->check(CheckQuiesce());
  command
      .add_option("--request-id", options.request_id,
                  "makes a repeat of this command safe; made up when it is not given")
      ->type_name("ID");
  CLI::Option* validate = command.add_flag("--validate-only", options.validate_only,
                                           "check everything, but request nothing");
  command.add_flag("--wait", options.wait, "follow the backup until it has ended")
      ->excludes(validate);
}

v1::CreateBackupRequest ToRequest(const CreateOptions& options) {
  v1::CreateBackupRequest request;
  request.set_vm_id(options.vm);
  request.set_name(options.name);
  request.set_repository(options.repository);
  request.set_quiesce(QuiesceNames().at(options.quiesce));
  request.set_validate_only(options.validate_only);
  request.set_request_id(options.request_id.empty() ? NewUuid4() : options.request_id);
  for (const auto& [key, value] : ToLabels(options.labels))
    (*request.mutable_labels())[key] = value;
  return request;
}

absl::Status Create(const CreateOptions& options, Client& client, const Output& output) {
  const v1::CreateBackupRequest request = ToRequest(options);
  const absl::StatusOr<v1::Backup> backup = client.CreateBackup(request);
  const absl::Status& status = backup.status();
  // Without an answer from the controller nobody knows; its own refusal says that nothing was done.
  const bool unanswered = ErrorReason(status) == error::kControllerUnreachable ||
                          absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
  if (unanswered && !options.validate_only) {
    return error::WithAdvice(
        status,
        absl::StrCat("whether the backup was requested is not known, the same command with "
                     "\"--request-id ",
                     request.request_id(), "\" finds out and is safe"),
        "request_id", request.request_id());
  }
  VMKEEP_RETURN_IF_ERROR(status);
  if (options.validate_only) {
    output.Result(*backup, absl::StrCat("the request is valid, nothing was requested\n",
                                        BackupFields(*backup)));
    return absl::OkStatus();
  }
  if (!options.wait) {
    output.Result(*backup, absl::StrCat(Summary(*backup), "\n"));
    return absl::OkStatus();
  }
  output.Note(absl::StrCat(Summary(*backup), "\n"));
  return WaitUntilSettled(*backup, v1::Backup::RUNNING, client, output);
}

// --- scrub, retry, update

// Of a change that may be waited for.
struct ChangeOptions {
  std::string id;
  std::string etag;
  bool wait = false;
};

void DescribeEtag(CLI::App& command, std::string& etag) {
  command.add_option("--etag", etag, "refuse when the record changed since it had this etag")
      ->type_name("ETAG");
}

void DescribeChange(CLI::App& command, ChangeOptions& options) {
  command.add_option("ID", options.id, "the backup")->required();
  DescribeEtag(command, options.etag);
}

// Writes what the controller answered, or follows the backup into `wanted`.
absl::Status Changed(const absl::StatusOr<v1::Backup>& backup, bool wait, v1::Backup::State wanted,
                     Client& client, const Output& output) {
  VMKEEP_RETURN_IF_ERROR(backup.status());
  if (!wait) {
    output.Result(*backup, absl::StrCat(Summary(*backup), "\n"));
    return absl::OkStatus();
  }
  output.Note(absl::StrCat(Summary(*backup), "\n"));
  return WaitUntilSettled(*backup, wanted, client, output);
}

void DescribeScrub(CLI::App& command, ChangeOptions& options) {
  DescribeChange(command, options);
  command.add_flag("--wait", options.wait, "follow it until its files are gone");
}

absl::Status Scrub(const ChangeOptions& options, Client& client, const Output& output) {
  v1::UpdateBackupRequest request;
  request.set_id(options.id);
  request.set_state(v1::Backup::SCRUB);
  request.mutable_update_mask()->add_paths("state");
  request.set_etag(options.etag);
  return Changed(client.UpdateBackup(request), options.wait, v1::Backup::CLOSED, client, output);
}

void DescribeRetry(CLI::App& command, ChangeOptions& options) {
  DescribeChange(command, options);
  command.add_flag("--wait", options.wait, "follow the backup until it has ended");
}

absl::Status Retry(const ChangeOptions& options, Client& client, const Output& output) {
  v1::RetryBackupRequest request;
  request.set_id(options.id);
  request.set_etag(options.etag);
  return Changed(client.RetryBackup(request), options.wait, v1::Backup::RUNNING, client, output);
}

struct UpdateOptions {
  std::string id;
  std::string name;
  std::vector<std::string> labels;
  std::string etag;
  bool no_labels = false;
};

void DescribeUpdate(CLI::App& command, UpdateOptions& options) {
  command.add_option("ID", options.id, "the backup")->required();
  command.add_option("--name", options.name, "a new name")
      ->type_name("NAME")
      ->check([](const std::string& name) {
        return name.empty() ? "a name has at least one character" : "";
      });
  CLI::Option* labels =
      AddLabels(command, options.labels, "a label; those given replace all there are");
  command.add_flag("--no-labels", options.no_labels, "remove all labels")->excludes(labels);
  DescribeEtag(command, options.etag);
}

absl::Status Update(const UpdateOptions& options, Client& client, const Output& output) {
  v1::UpdateBackupRequest request;
  request.set_id(options.id);
  request.set_etag(options.etag);
  if (!options.name.empty()) {
    request.set_name(options.name);
    request.mutable_update_mask()->add_paths("name");
  }
  if (!options.labels.empty() || options.no_labels) {
    for (const auto& [key, value] : ToLabels(options.labels))
      (*request.mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels");
  }
  if (request.update_mask().paths().empty())
    return error::Usage("nothing to change: give --name, --label or --no-labels");
  VMKEEP_ASSIGN_OR_RETURN(const v1::Backup backup, client.UpdateBackup(request));
  output.Result(backup, BackupFields(backup));
  return absl::OkStatus();
}

}  // namespace

void AddBackupCommands(CLI::App& app, Action& action) {
  CLI::App& noun = *app.add_subcommand("backup", "Backups")->require_subcommand(1);
  AddCommand<CreateOptions>(noun, "create", "Request a backup of a VM", action, DescribeCreate,
                            Create);
  AddBackupReadCommands(noun, action);
  AddCommand<ChangeOptions>(noun, "retry", "Try a backup again that is UNRESOURCED", action,
                            DescribeRetry, Retry);
  AddCommand<ChangeOptions>(noun, "scrub", "Delete a backup; cancels one that is under way", action,
                            DescribeScrub, Scrub);
  AddCommand<UpdateOptions>(noun, "update", "Change a backup's name or labels", action,
                            DescribeUpdate, Update);
}

}  // namespace vmkeep::ctl
