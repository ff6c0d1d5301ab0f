#include "common/status_macros.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace vmkeep::ctl {
namespace {

constexpr int kPageSize = 1000;

std::string Host(const v1::Vm& vm) {
  if (vm.candidate_host_ids_size() < 2) return OrDash(vm.host_id());
  // More than one host reports this UUID: which is meant is not for us to choose.
  return Printable(absl::StrJoin(vm.candidate_host_ids(), ","));
}

std::string OverlayText(const v1::Vm& vm) {
  if (!vm.has_overlay()) return "-";
  const v1::Overlay& overlay = vm.overlay();
  std::string text = absl::StrCat(FormatBytes(overlay.bytes()), " since ",
                                  TimeText(overlay.since(), overlay.has_since()));
  if (overlay.needs_attention())
    absl::StrAppend(&text, ", NEEDS ATTENTION: ", OrDash(overlay.remedy()));
  return text;
}

std::string VmTable(const v1::ListVmsResponse& vms) {
  std::vector<Row> rows;
  for (const v1::Vm& vm : vms.vms()) {
    rows.push_back({OrDash(vm.name()), OrDash(vm.id()),
                    vm.id() == vm.uuid() ? "-" : OrDash(vm.uuid()), Host(vm),
                    v1::Vm::PowerState_Name(vm.power_state()), OrDash(vm.unfinished_backup_id()),
                    OverlayText(vm)});
  }
  return FormatTable(
      {{"NAME"}, {"ID"}, {"UUID"}, {"HOST"}, {"POWER"}, {"UNFINISHED BACKUP"}, {"OVERLAY"}}, rows);
}

struct ListOptions {
  std::vector<std::string> hosts;
};

void DescribeList(CLI::App& command, ListOptions& options) {
  AddRepeated(command, "--host", options.hosts,
              "only VMs on this host; may be given more than once");
}

absl::Status List(const ListOptions& options, Client& client, const Output& output) {
  v1::ListVmsRequest request;
  request.set_page_size(kPageSize);
  request.mutable_host_ids()->Assign(options.hosts.begin(), options.hosts.end());
  v1::ListVmsResponse all;
  do {
    VMKEEP_ASSIGN_OR_RETURN(const v1::ListVmsResponse page, client.ListVms(request));
    all.mutable_vms()->MergeFrom(page.vms());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  output.Result(all, VmTable(all));
  return absl::OkStatus();
}

}  // namespace

void AddVmCommands(CLI::App& app, Action& action) {
  CLI::App& noun = *app.add_subcommand("vm", "VMs that the hosts report")->require_subcommand(1);
  AddCommand<ListOptions>(noun, "list",
                          "List the VMs, and which of them run on an overlay right now", action,
                          DescribeList, List);
}

}  // namespace vmkeep::ctl
