#include "common/error.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "tools/vmkeepctl/backup_text.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/progress.h"
#include "tools/vmkeepctl/wait.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include <algorithm>

namespace vmkeep::ctl {
namespace {

constexpr char kMoreThanOnce[] = "; may be given more than once";

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

std::string CheckQuiesce(const std::string& text) {
  if (!text.empty() && QuiesceNames().contains(text)) return {};
  return absl::StrCat("\"", text, "\" is not if-available, required or never");
}

void DescribeCreate(CLI::App& command, CreateOptions& options) {
  command.add_option("VM", options.vm, "the VM: its registered id, its UUID, or its name")
      ->required();
  command.add_option("NAME", options.name, "the backup's name")->required();
  command
      .add_option("--repository", options.repository,
                  "1 or primary, 2 or secondary; else the controller chooses")
      ->transform(SlotNames());
  AddLabels(command, options.labels, absl::StrCat("a label of the backup", kMoreThanOnce));
  command
      .add_option("--quiesce", options.quiesce,
                  "freeze the guest: if-available (default), required or never")
      ->check(CLI::Validator(CheckQuiesce, ""));
  command.add_option("--request-id", options.request_id,
                     "makes a repeat of this command safe; made up when it is not given");
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

// --- list, get

// The part of a filter that list and watch share.
struct FilterOptions {
  std::vector<std::string> ids;
  std::vector<std::string> vms;
  std::vector<std::string> hosts;
  std::vector<std::string> states;
  std::vector<std::string> labels;
  bool all = false;
};

std::string CheckState(const std::string& text) {
  v1::Backup::State state;
  if (v1::Backup::State_Parse(absl::AsciiStrToUpper(text), &state) &&
      state != v1::Backup::STATE_UNSPECIFIED)
    return {};
  return absl::StrCat(
      "\"", text,
      "\" is not REQUESTED, BUILDING, UNRESOURCED, RUNNING, SCRUB, SCRUBBING or CLOSED");
}

void DescribeFilter(CLI::App& command, FilterOptions& options) {
  AddRepeated(command, "--vm", options.vms, absl::StrCat("only backups of this VM", kMoreThanOnce));
  AddRepeated(command, "--host", options.hosts,
              absl::StrCat("only backups by this host", kMoreThanOnce));
  AddRepeated(command, "--state", options.states,
              absl::StrCat("only backups in this state", kMoreThanOnce))
      ->check(CLI::Validator(CheckState, "STATE"));
  AddLabels(command, options.labels, absl::StrCat("only backups with this label", kMoreThanOnce));
  command.add_flag("--all", options.all, "also closed ones");
}

v1::BackupFilter ToFilter(const FilterOptions& options) {
  v1::BackupFilter filter;
  filter.mutable_ids()->Assign(options.ids.begin(), options.ids.end());
  filter.mutable_vm_ids()->Assign(options.vms.begin(), options.vms.end());
  filter.mutable_host_ids()->Assign(options.hosts.begin(), options.hosts.end());
  for (const std::string& text : options.states) {
    v1::Backup::State state;
    if (v1::Backup::State_Parse(absl::AsciiStrToUpper(text), &state)) filter.add_states(state);
  }
  for (const auto& [key, value] : ToLabels(options.labels)) (*filter.mutable_labels())[key] = value;
  filter.set_show_closed(options.all);
  return filter;
}

struct ListOptions {
  FilterOptions filter;
  int page_size = 0;
  int limit = 0;
};

void DescribeList(CLI::App& command, ListOptions& options) {
  DescribeFilter(command, options.filter);
  command.add_option("--page-size", options.page_size, "how many to ask for at a time")
      ->check(CLI::Range(1, 1000));
  command.add_option("--limit", options.limit, "stop after this many; else all are listed")
      ->check(CLI::Range(1, 1'000'000'000));
}

absl::Status List(const ListOptions& options, Client& client, const Output& output) {
  constexpr int kPageSize = 1000;
  v1::ListBackupsRequest request;
  *request.mutable_filter() = ToFilter(options.filter);
  v1::ListBackupsResponse all;
  do {
    const int page_size = options.page_size == 0 ? kPageSize : options.page_size;
    const int left = options.limit == 0 ? page_size : options.limit - all.backups_size();
    request.set_page_size(std::min(page_size, left));
    VMKEEP_ASSIGN_OR_RETURN(const v1::ListBackupsResponse page, client.ListBackups(request));
    all.mutable_backups()->MergeFrom(page.backups());
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() &&
           (options.limit == 0 || all.backups_size() < options.limit));
  output.Result(all, BackupTable(all));
  if (!all.next_page_token().empty()) output.Note("there are more: raise --limit\n");
  return absl::OkStatus();
}

struct IdOptions {
  std::string id;
};

void DescribeId(CLI::App& command, IdOptions& options) {
  command.add_option("ID", options.id, "the backup")->required();
}

absl::Status Get(const IdOptions& options, Client& client, const Output& output) {
  v1::GetBackupRequest request;
  request.set_id(options.id);
  VMKEEP_ASSIGN_OR_RETURN(const v1::Backup backup, client.GetBackup(request));
  output.Result(backup, BackupFields(backup));
  return absl::OkStatus();
}

// --- watch

struct WatchOptions {
  FilterOptions filter;
  bool until_settled = false;
};

void DescribeWatch(CLI::App& command, WatchOptions& options) {
  command.add_option("IDs", options.filter.ids, "only these backups");
  DescribeFilter(command, options.filter);
  command.add_flag(
      "--until-settled", options.until_settled,
      "end when all are RUNNING, UNRESOURCED or CLOSED; with IDs, fail when one is UNRESOURCED");
}

absl::Status Watch(const WatchOptions& options, Client& client, const Output& output) {
  v1::WatchBackupsRequest request;
  *request.mutable_filter() = ToFilter(options.filter);
  // Who names a backup wants to see its end.
  if (!options.filter.ids.empty()) request.mutable_filter()->set_show_closed(true);
  request.set_until_settled(options.until_settled);
  return WatchToStdout(request, client, output);
}

// --- scrub, update

struct ScrubOptions {
  std::string id;
  bool wait = false;
};

void DescribeScrub(CLI::App& command, ScrubOptions& options) {
  command.add_option("ID", options.id, "the backup")->required();
  command.add_flag("--wait", options.wait, "follow it until its files are gone");
}

absl::Status Scrub(const ScrubOptions& options, Client& client, const Output& output) {
  v1::UpdateBackupRequest request;
  request.set_id(options.id);
  request.set_state(v1::Backup::SCRUB);
  request.mutable_update_mask()->add_paths("state");
  VMKEEP_ASSIGN_OR_RETURN(const v1::Backup backup, client.UpdateBackup(request));
  if (!options.wait) {
    output.Result(backup, absl::StrCat(Summary(backup), "\n"));
    return absl::OkStatus();
  }
  output.Note(absl::StrCat(Summary(backup), "\n"));
  return WaitUntilSettled(backup, v1::Backup::CLOSED, client, output);
}

struct UpdateOptions {
  std::string id;
  std::string name;
  std::vector<std::string> labels;
  bool no_labels = false;
};

void DescribeUpdate(CLI::App& command, UpdateOptions& options) {
  command.add_option("ID", options.id, "the backup")->required();
  command.add_option("--name", options.name, "a new name")->check([](const std::string& name) {
    return name.empty() ? "a name has at least one character" : "";
  });
  CLI::Option* labels =
      AddLabels(command, options.labels,
                absl::StrCat("a label; those given replace all there are", kMoreThanOnce));
  command.add_flag("--no-labels", options.no_labels, "remove all labels")->excludes(labels);
}

absl::Status Update(const UpdateOptions& options, Client& client, const Output& output) {
  v1::UpdateBackupRequest request;
  request.set_id(options.id);
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
  AddCommand<ListOptions>(noun, "list", "List backups, newest first", action, DescribeList, List);
  AddCommand<IdOptions>(noun, "get", "Show one backup", action, DescribeId, Get);
  AddCommand<WatchOptions>(noun, "watch", "Watch backups live", action, DescribeWatch, Watch);
  AddCommand<ScrubOptions>(noun, "scrub", "Delete a backup; cancels one that is under way", action,
                           DescribeScrub, Scrub);
  AddCommand<UpdateOptions>(noun, "update", "Change a backup's name or labels", action,
                            DescribeUpdate, Update);
}

}  // namespace vmkeep::ctl
