#include "common/status_macros.h"
#include "tools/vmkeepctl/backup_text.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/wait.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include <google/protobuf/descriptor.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <cstdint>

namespace vmkeep::ctl {
namespace {

// --- filter

// The part of a filter that list and watch share.
struct FilterOptions {
  std::vector<std::string> ids;
  std::vector<std::string> vms;
  std::vector<std::string> hosts;
  std::vector<std::string> states;
  std::vector<int> repositories;
  std::vector<std::string> repository_ids;
  std::vector<std::string> labels;
  std::string created_after;
  std::string created_before;
  bool all = false;
};

// By the names of the API, without the one that means "not given".
std::vector<std::string> StateNames() {
  std::vector<std::string> names;
  const google::protobuf::EnumDescriptor& states = *v1::Backup::State_descriptor();
  for (int i = 0; i < states.value_count(); ++i) {
    if (states.value(i)->number() != v1::Backup::STATE_UNSPECIFIED)
      names.push_back(states.value(i)->name());
  }
  return names;
}

CLI::Validator CheckState() {
  return OneOf(StateNames(), [](std::string& text) -> std::string {
    text = absl::AsciiStrToUpper(text);
    v1::Backup::State state;
    if (v1::Backup::State_Parse(text, &state) && state != v1::Backup::STATE_UNSPECIFIED) return {};
    return absl::StrCat("\"", text, "\" is not ", absl::StrJoin(StateNames(), ", "));
  });
}

CLI::Validator CheckTime() {
  return {[](const std::string& text) {
            return ParseTime(text).has_value()
                       ? std::string()
                       : absl::StrCat("\"", text,
                                      "\" is neither a day such as 2026-11-25 nor a time such as "
                                      "2026-11-25T22:05:09Z");
          },
          ""};
}

void DescribeFilter(CLI::App& command, FilterOptions& options) {
  command.add_option("ID", options.ids, "only these backups");
  AddRepeated(command, "--vm", options.vms, "only backups of this VM")->type_name("VM");
  AddRepeated(command, "--host", options.hosts, "only backups by this host")->type_name("HOST");
  AddRepeated(command, "--state", options.states, "only backups in this state")
      ->type_name("STATE")
      ->transform(CheckState());
  command
      .add_option("--repository", options.repositories,
                  "only backups in this repository; may be given more than once")
      ->allow_extra_args(false)
      ->type_name("REPOSITORY")
      ->transform(SlotNames());
  AddRepeated(command, "--repository-id", options.repository_ids,
              "only backups in the repository with this UUID")
      ->type_name("UUID");
  AddLabels(command, options.labels, "only backups with this label");
  command.add_option("--created-after", options.created_after, "only those requested since")
      ->type_name("TIME")
      ->check(CheckTime());
  command.add_option("--created-before", options.created_before, "only those requested before")
      ->type_name("TIME")
      ->check(CheckTime());
  command.add_flag("--all", options.all, "also closed ones");
}

// Of a checked time.
google::protobuf::Timestamp ToTimestamp(const std::string& text) {
  google::protobuf::Timestamp time;
  const absl::Time parsed = ParseTime(text).value_or(absl::UnixEpoch());
  time.set_seconds(absl::ToUnixSeconds(parsed));
  time.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(parsed - absl::FromUnixSeconds(time.seconds()))));
  return time;
}

v1::BackupFilter ToFilter(const FilterOptions& options) {
  v1::BackupFilter filter;
  filter.mutable_ids()->Assign(options.ids.begin(), options.ids.end());
  filter.mutable_vm_ids()->Assign(options.vms.begin(), options.vms.end());
  filter.mutable_host_ids()->Assign(options.hosts.begin(), options.hosts.end());
  for (const std::string& text : options.states) {
    v1::Backup::State state;
    if (v1::Backup::State_Parse(text, &state)) filter.add_states(state);
  }
  filter.mutable_repositories()->Assign(options.repositories.begin(), options.repositories.end());
  filter.mutable_repository_ids()->Assign(options.repository_ids.begin(),
                                          options.repository_ids.end());
  if (!options.created_after.empty())
    *filter.mutable_created_after() = ToTimestamp(options.created_after);
  if (!options.created_before.empty())
    *filter.mutable_created_before() = ToTimestamp(options.created_before);
  for (const auto& [key, value] : ToLabels(options.labels)) (*filter.mutable_labels())[key] = value;
  filter.set_show_closed(options.all);
  return filter;
}

// --- list, get

struct ListOptions {
  FilterOptions filter;
  bool oldest_first = false;
  int page_size = 0;
  int limit = 0;
};

void DescribeList(CLI::App& command, ListOptions& options) {
  DescribeFilter(command, options.filter);
  command.add_flag("--oldest-first", options.oldest_first, "else the newest is first");
  command.add_option("--page-size", options.page_size, "how many to ask for at a time")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command.add_option("--limit", options.limit, "stop after this many; else all are listed")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000));
}

absl::Status List(const ListOptions& options, Client& client, const Output& output) {
  constexpr int kPageSize = 1000;
  v1::ListBackupsRequest request;
  *request.mutable_filter() = ToFilter(options.filter);
  // Who names a backup wants to see it, also when it is gone.
  if (!options.filter.ids.empty()) request.mutable_filter()->set_show_closed(true);
  request.set_order_by(options.oldest_first ? "create_time" : "create_time desc");
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
  DescribeFilter(command, options.filter);
  command.add_flag(
      "--until-settled", options.until_settled,
      "end when all are RUNNING, UNRESOURCED or CLOSED; with ID, fail when one is UNRESOURCED");
}

absl::Status Watch(const WatchOptions& options, Client& client, const Output& output) {
  v1::WatchBackupsRequest request;
  *request.mutable_filter() = ToFilter(options.filter);
  // Who names a backup wants to see its end.
  if (!options.filter.ids.empty()) request.mutable_filter()->set_show_closed(true);
  request.set_until_settled(options.until_settled);
  return WatchToStdout(request, client, output);
}

}  // namespace

void AddBackupReadCommands(CLI::App& noun, Action& action) {
  AddCommand<ListOptions>(noun, "list", "List backups, newest first", action, DescribeList, List);
  AddCommand<IdOptions>(noun, "get", "Show one backup; of a failed one also what to do", action,
                        DescribeId, Get);
  AddCommand<WatchOptions>(noun, "watch", "Watch backups live", action, DescribeWatch, Watch);
}

}  // namespace vmkeep::ctl
