#include "common/status_macros.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::ctl {
namespace {

std::string RepositoryTable(const v1::ListRepositoriesResponse& repositories) {
  std::vector<Row> rows;
  for (const v1::Repository& one : repositories.repositories()) {
    rows.push_back({OrDash(one.host_id()), absl::StrCat(one.slot()), OrDash(one.id()),
                    OrDash(one.path()), OrDash(Printable(one.target())),
                    v1::Repository::Health_Name(one.health()), FormatBytes(one.free_bytes()),
                    FormatBytes(one.total_bytes()), FormatBytes(one.reserved_bytes()),
                    TimeText(one.probe_time(), one.has_probe_time()), Printable(one.message())});
  }
  return FormatTable({{"HOST"},
                      {"SLOT", Align::kRight},
                      {"ID"},
                      {"PATH"},
                      {"ON"},
                      {"HEALTH"},
                      {"FREE", Align::kRight},
                      {"TOTAL", Align::kRight},
                      {"RESERVED", Align::kRight},
                      {"PROBED"},
                      {"MESSAGE"}},
                     rows);
}

struct InitOptions {
  std::string host;
  int slot = 0;
  bool allow_plain_directory = false;
};

void DescribeInit(CLI::App& command, InitOptions& options) {
  command.add_option("HOST", options.host, "the host that has it mounted")->required();
  command.add_option("SLOT", options.slot, "1 or primary, 2 or secondary")
      ->required()
      ->transform(SlotNames());
  command.add_flag("--allow-plain-directory", options.allow_plain_directory,
                   "accept a folder that is no mount point: for demos and tests");
}

absl::Status Init(const InitOptions& options, Client& client, const Output& output) {
  v1::InitRepositoryRequest request;
  request.set_host_id(options.host);
  request.set_slot(options.slot);
  request.set_allow_plain_directory(options.allow_plain_directory);
  VMKEEP_ASSIGN_OR_RETURN(const v1::Repository one, client.InitRepository(request));
  output.Result(one, absl::StrCat("repository ", OrDash(one.id()), " at ", OrDash(one.path()),
                                  " is slot ", one.slot(), " of host ", OrDash(one.host_id()), ": ",
                                  v1::Repository::Health_Name(one.health()), ", ",
                                  FormatBytes(one.free_bytes()), " free of ",
                                  FormatBytes(one.total_bytes()), "\n"));
  return absl::OkStatus();
}

struct ListOptions {
  std::vector<std::string> hosts;
};

void DescribeList(CLI::App& command, ListOptions& options) {
  AddRepeated(command, "--host", options.hosts, "only those of this host")->type_name("HOST");
}

absl::Status List(const ListOptions& options, Client& client, const Output& output) {
  v1::ListRepositoriesRequest request;
  request.mutable_host_ids()->Assign(options.hosts.begin(), options.hosts.end());
  VMKEEP_ASSIGN_OR_RETURN(const v1::ListRepositoriesResponse all, client.ListRepositories(request));
  output.Result(all, RepositoryTable(all));
  return absl::OkStatus();
}

}  // namespace

void AddRepoCommands(CLI::App& app, Action& action) {
  CLI::App& noun = *app.add_subcommand("repo", "Repositories of the hosts")->require_subcommand(1);
  AddCommand<InitOptions>(noun, "init", "Make a mount a repository; repeating it changes nothing",
                          action, DescribeInit, Init);
  AddCommand<ListOptions>(noun, "list", "List the repositories", action, DescribeList, List);
}

}  // namespace vmkeep::ctl
