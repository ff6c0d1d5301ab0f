#include "common/status_macros.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <string>
#include <utility>
#include <vector>

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
  if (overlay.files_only()) absl::StrAppend(&text, ", its files only");
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

// What is in the way of the merge.
std::string Why(const v1::Overlay& overlay) {
  if (overlay.reason().empty()) return "-";
  return Printable(absl::StrCat(overlay.reason(), ": ", overlay.message()));
}

// Whether a person has to do something about the overlay, and what.
std::string WhatToDo(const v1::Overlay& overlay) {
  if (overlay.needs_attention()) return absl::StrCat("NEEDS ATTENTION: ", OrDash(overlay.remedy()));
  return "nothing: its task merges it";
}

std::string Since(const v1::Overlay& overlay) {
  return TimeText(overlay.since(), overlay.has_since());
}

std::string FilesText(const v1::Overlay& overlay) {
  return Printable(absl::StrJoin(overlay.files(), ", "));
}

// Of VMs that all run on an overlay, or have files of one left.
std::string OverlayTable(const v1::ListVmsResponse& vms) {
  std::vector<Row> rows;
  for (const v1::Vm& vm : vms.vms()) {
    const v1::Overlay& overlay = vm.overlay();
    rows.push_back({OrDash(vm.name()), OrDash(vm.id()), Host(vm), Since(overlay),
                    FormatBytes(overlay.bytes()), OrDash(overlay.backup_id()), Why(overlay),
                    WhatToDo(overlay), OrDash(FilesText(overlay))});
  }
  return FormatTable({{"NAME"},
                      {"ID"},
                      {"HOST"},
                      {"SINCE"},
                      {"SIZE", Align::kRight},
                      {"BACKUP"},
                      {"WHY"},
                      {"WHAT TO DO"},
                      {"FILES"}},
                     rows);
}

std::string VmFields(const v1::Vm& vm) {
  std::vector<std::pair<std::string, std::string>> fields = {
      {"id", Printable(vm.id())},
      {"uuid", Printable(vm.uuid())},
      {"name", Printable(vm.name())},
      {"host", Host(vm)},
      {"power", v1::Vm::PowerState_Name(vm.power_state())},
      {"project", Printable(vm.project())},
      {"unfinished backup", Printable(vm.unfinished_backup_id())},
      {"overlay", vm.has_overlay() ? "" : "none"}};
  if (vm.has_overlay()) {
    const v1::Overlay& overlay = vm.overlay();
    fields.insert(fields.end(), {{"overlay since", Since(overlay)},
                                 {"overlay size", FormatBytes(overlay.bytes())},
                                 {"overlay backup", OrDash(overlay.backup_id())},
                                 {"overlay files", OrDash(FilesText(overlay))},
                                 {"in the way", Why(overlay)},
                                 {"what to do", WhatToDo(overlay)}});
  }
  return FormatFields(fields);
}

struct ListOptions {
  std::vector<std::string> hosts;
  bool overlay = false;
};

void DescribeList(CLI::App& command, ListOptions& options) {
  AddRepeated(command, "--host", options.hosts, "only VMs on this host")->type_name("HOST");
  command.add_flag("--overlay", options.overlay,
                   "only VMs that run on an overlay of ours now: since when, for which backup, and "
                   "what to do");
}

absl::Status List(const ListOptions& options, Client& client, const Output& output) {
  v1::ListVmsRequest request;
  request.set_page_size(kPageSize);
  request.mutable_host_ids()->Assign(options.hosts.begin(), options.hosts.end());
  request.set_on_overlay(options.overlay);
  v1::ListVmsResponse all;
  do {
    VMKEEP_ASSIGN_OR_RETURN(const v1::ListVmsResponse page, client.ListVms(request));
    for (const v1::Vm& vm : page.vms()) {
      // An older controller does not know on_overlay and sends them all.
      if (!options.overlay || vm.has_overlay()) *all.add_vms() = vm;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  output.Result(all, options.overlay ? OverlayTable(all) : VmTable(all));
  if (options.overlay && all.vms().empty()) output.Note("no VM runs on an overlay\n");
  return absl::OkStatus();
}

struct GetOptions {
  std::string vm;
};

void DescribeGet(CLI::App& command, GetOptions& options) {
  command.add_option("VM", options.vm, "the VM: its registered id, its UUID, or its name")
      ->required();
}

absl::Status Get(const GetOptions& options, Client& client, const Output& output) {
  v1::GetVmRequest request;
  request.set_id(options.vm);
  VMKEEP_ASSIGN_OR_RETURN(const v1::Vm vm, client.GetVm(request));
  output.Result(vm, VmFields(vm));
  return absl::OkStatus();
}

struct RegisterOptions {
  std::string id;
  std::string uuid;
};

void DescribeRegister(CLI::App& command, RegisterOptions& options) {
  command.add_option("ID", options.id, "your id for the VM")->required();
  command
      .add_option("UUID", options.uuid,
                  "the hypervisor's UUID of the VM; no host needs to report it yet")
      ->required();
}

absl::Status Register(const RegisterOptions& options, Client& client, const Output& output) {
  v1::RegisterVmRequest request;
  request.set_id(options.id);
  request.set_uuid(options.uuid);
  VMKEEP_ASSIGN_OR_RETURN(const v1::Vm vm, client.RegisterVm(request));
  output.Result(vm, VmFields(vm));
  return absl::OkStatus();
}

}  // namespace

void AddVmCommands(CLI::App& app, Action& action) {
  CLI::App& noun = *app.add_subcommand("vm", "VMs that the hosts report")->require_subcommand(1);
  AddCommand<ListOptions>(noun, "list",
                          "List the VMs, and which of them run on an overlay right now", action,
                          DescribeList, List);
  AddCommand<GetOptions>(noun, "get", "Show one VM", action, DescribeGet, Get);
  AddCommand<RegisterOptions>(noun, "register", "Give a VM an id of your own", action,
                              DescribeRegister, Register);
}

}  // namespace vmkeep::ctl
