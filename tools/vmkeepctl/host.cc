#include "common/status_macros.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::ctl {
namespace {

constexpr int kPageSize = 1000;

std::string Hypervisor(const v1::Host& host) {
  return absl::StrCat(OrDash(host.hypervisor()), host.simulated() ? " (simulated)" : "");
}

std::string Availability(const v1::Host& host) {
  return absl::StrCat(v1::Host::Availability_Name(host.availability()),
                      host.draining() ? ", draining" : "");
}

std::string HostTable(const v1::ListHostsResponse& hosts) {
  std::vector<Row> rows;
  for (const v1::Host& host : hosts.hosts()) {
    rows.push_back({OrDash(host.id()), OrDash(host.address()), Availability(host), Hypervisor(host),
                    OrDash(host.version()),
                    TimeText(host.last_seen_time(), host.has_last_seen_time()),
                    Printable(host.message())});
  }
  return FormatTable({{"ID"},
                      {"ADDRESS"},
                      {"AVAILABILITY"},
                      {"HYPERVISOR"},
                      {"VERSION"},
                      {"LAST SEEN"},
                      {"MESSAGE"}},
                     rows);
}

std::string HostFields(const v1::Host& host) {
  return FormatFields({{"id", Printable(host.id())},
                       {"address", Printable(host.address())},
                       {"availability", Availability(host)},
                       {"message", Printable(host.message())},
                       {"hypervisor", Hypervisor(host)},
                       {"hostname", Printable(host.hostname())},
                       {"version", Printable(host.version())},
                       {"executor id", Printable(host.executor_id())},
                       {"last seen", TimeText(host.last_seen_time(), host.has_last_seen_time())}});
}

struct AddOptions {
  std::string id;
  std::string address;
};

void DescribeAdd(CLI::App& command, AddOptions& options) {
  command.add_option("ID", options.id, "your name for the host: a-z, 0-9, '-', '.'")->required();
  command
      .add_option("ADDRESS", options.address, "where its executor listens: unix:/path or host:port")
      ->required();
}

absl::Status Add(const AddOptions& options, Client& client, const Output& output) {
  v1::RegisterHostRequest request;
  request.set_id(options.id);
  request.set_address(options.address);
  VMKEEP_ASSIGN_OR_RETURN(const v1::Host host, client.RegisterHost(request));
  output.Result(host, HostFields(host));
  return absl::OkStatus();
}

struct ListOptions {};

void DescribeList(CLI::App&, ListOptions&) {}

absl::Status List(const ListOptions&, Client& client, const Output& output) {
  v1::ListHostsRequest request;
  request.set_page_size(kPageSize);
  v1::ListHostsResponse all;
  do {
    VMKEEP_ASSIGN_OR_RETURN(const v1::ListHostsResponse page, client.ListHosts(request));
    all.mutable_hosts()->MergeFrom(page.hosts());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  output.Result(all, HostTable(all));
  return absl::OkStatus();
}

struct IdOptions {
  std::string id;
};

void DescribeId(CLI::App& command, IdOptions& options) {
  command.add_option("ID", options.id, "the host")->required();
}

absl::Status Get(const IdOptions& options, Client& client, const Output& output) {
  v1::GetHostRequest request;
  request.set_id(options.id);
  VMKEEP_ASSIGN_OR_RETURN(const v1::Host host, client.GetHost(request));
  output.Result(host, HostFields(host));
  return absl::OkStatus();
}

absl::Status SetDraining(const std::string& id, bool draining, Client& client,
                         const Output& output) {
  v1::UpdateHostRequest request;
  request.set_id(id);
  request.set_draining(draining);
  request.mutable_update_mask()->add_paths("draining");
  VMKEEP_ASSIGN_OR_RETURN(const v1::Host host, client.UpdateHost(request));
  output.Result(host, HostFields(host));
  return absl::OkStatus();
}

absl::Status Drain(const IdOptions& options, Client& client, const Output& output) {
  VMKEEP_RETURN_IF_ERROR(SetDraining(options.id, true, client, output));
  output.Note(absl::StrCat(
      "nothing new starts there, running work goes on to its end: wait for it with "
      "\"vmkeepctl backup watch --host ",
      Printable(options.id), " --state BUILDING --state SCRUBBING --until-settled\"\n"));
  return absl::OkStatus();
}

absl::Status Undrain(const IdOptions& options, Client& client, const Output& output) {
  return SetDraining(options.id, false, client, output);
}

struct ConfirmOptions {
  std::string id;
  std::string executor;
};

void DescribeConfirm(CLI::App& command, ConfirmOptions& options) {
  command.add_option("ID", options.id, "the host")->required();
  command
      .add_option("EXECUTOR_UUID", options.executor,
                  "the executor that answers there now, as \"host get\" says it")
      ->required();
}

absl::Status Confirm(const ConfirmOptions& options, Client& client, const Output& output) {
  v1::UpdateHostRequest request;
  request.set_id(options.id);
  request.set_executor_id(options.executor);
  request.mutable_update_mask()->add_paths("executor_id");
  VMKEEP_ASSIGN_OR_RETURN(const v1::Host host, client.UpdateHost(request));
  output.Result(host, HostFields(host));
  return absl::OkStatus();
}

absl::Status Delete(const IdOptions& options, Client& client, const Output& output) {
  v1::DeleteHostRequest request;
  request.set_id(options.id);
  VMKEEP_ASSIGN_OR_RETURN(const google::protobuf::Empty none, client.DeleteHost(request));
  output.Result(none, absl::StrCat("host ", Printable(options.id), " is forgotten\n"));
  return absl::OkStatus();
}

}  // namespace

void AddHostCommands(CLI::App& app, Action& action) {
  CLI::App& noun = *app.add_subcommand("host", "Hosts with an executor")->require_subcommand(1);
  AddCommand<AddOptions>(noun, "add", "Register a host, or change its address", action, DescribeAdd,
                         Add);
  AddCommand<ListOptions>(noun, "list", "List the hosts", action, DescribeList, List);
  AddCommand<IdOptions>(noun, "get", "Show one host", action, DescribeId, Get);
  AddCommand<IdOptions>(noun, "drain", "Let running work end and start nothing new there", action,
                        DescribeId, Drain);
  AddCommand<IdOptions>(noun, "undrain", "Take a drained host back into service", action,
                        DescribeId, Undrain);
  AddCommand<ConfirmOptions>(noun, "confirm", "Accept the executor of a host that was set up anew",
                             action, DescribeConfirm, Confirm);
  AddCommand<IdOptions>(noun, "delete", "Forget a host that has no backups", action, DescribeId,
                        Delete);
}

}  // namespace vmkeep::ctl
