#include "executor/hypervisor/sim/sim_vm.h"

#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/sim/sim_overlay.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace vmkeep::executor {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

constexpr std::array<absl::string_view, 4> kPowerNames = {"unknown", "on", "off", "paused"};

Value Text(absl::string_view text) {
  Value value;
  value.set_string_value(std::string(text));
  return value;
}
Value Number(double number) {
  Value value;
  value.set_number_value(number);
  return value;
}
Value Flag(bool flag) {
  Value value;
  value.set_bool_value(flag);
  return value;
}

// An absent field reads as an empty value.
const Value& Get(const Struct& object, const char* name) {
  static const Value none;
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? none : found->second;
}

Struct ToStruct(const SimDisk& disk) {
  Struct object;
  auto& fields = *object.mutable_fields();
  fields["target"] = Text(disk.target);
  fields["format"] = Text(disk.format);
  fields["base"] = Text(disk.base);
  fields["overlay"] = Text(disk.overlay);
  fields["merge_polls"] = Number(disk.merge_polls);
  fields["outruns"] = Number(disk.outruns);
  fields["full_speed"] = Flag(disk.help.full_speed);
  fields["write_limit"] = Number(static_cast<double>(disk.help.write_bytes_per_second));
  fields["suspended"] = Flag(disk.help.suspended);
  return object;
}

Struct ToStruct(const SimVm& vm) {
  Struct object;
  auto& fields = *object.mutable_fields();
  fields["uuid"] = Text(vm.uuid);
  fields["name"] = Text(vm.name);
  fields["power"] = Text(kPowerNames[static_cast<size_t>(vm.power)]);
  fields["guest_agent"] = Flag(vm.guest_agent);
  fields["frozen"] = Flag(vm.frozen);
  fields["writes"] = Number(static_cast<double>(vm.writes));
  for (const SimDisk& disk : vm.disks) {
    *fields["disks"].mutable_list_value()->add_values()->mutable_struct_value() = ToStruct(disk);
  }
  return object;
}

SimVm FromStruct(const Struct& object) {
  SimVm vm;
  vm.uuid = Get(object, "uuid").string_value();
  vm.name = Get(object, "name").string_value();
  const auto power = std::find(kPowerNames.begin(), kPowerNames.end(),
                               absl::string_view(Get(object, "power").string_value()));
  vm.power = power == kPowerNames.end() ? PowerState::kUnknown
                                        : static_cast<PowerState>(power - kPowerNames.begin());
  vm.guest_agent = Get(object, "guest_agent").bool_value();
  vm.frozen = Get(object, "frozen").bool_value();
  vm.writes = static_cast<int64_t>(Get(object, "writes").number_value());
  for (const Value& each : Get(object, "disks").list_value().values()) {
    const Struct& disk = each.struct_value();
    vm.disks.push_back({Get(disk, "target").string_value(),
                        Get(disk, "format").string_value(),
                        Get(disk, "base").string_value(),
                        Get(disk, "overlay").string_value(),
                        static_cast<int>(Get(disk, "merge_polls").number_value()),
                        static_cast<int>(Get(disk, "outruns").number_value()),
                        {Get(disk, "full_speed").bool_value(),
                         static_cast<int64_t>(Get(disk, "write_limit").number_value()),
                         Get(disk, "suspended").bool_value()}});
  }
  return vm;
}

std::string XmlText(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&apos;"}, {"\"", "&quot;"}});
}

std::string DiskXml(absl::string_view target, absl::string_view format, absl::string_view file) {
  return absl::StrCat("    <disk type='file' device='disk'>\n      <driver name='sim' type='",
                      XmlText(format), "'/>\n      <source file='", XmlText(file),
                      "'/>\n      <target dev='", XmlText(target), "'/>\n    </disk>\n");
}

std::string DomainXml(const SimVm& vm, absl::string_view id, absl::string_view disks) {
  return absl::StrCat("<domain type='sim'", id, ">\n  <name>", XmlText(vm.name),
                      "</name>\n  <uuid>", XmlText(vm.uuid), "</uuid>\n  <devices>\n", disks,
                      "  </devices>\n</domain>\n");
}

}  // namespace

SimDisk* SimVm::FindDisk(absl::string_view target) {
  for (SimDisk& disk : disks) {
    if (disk.target == target) return &disk;
  }
  return nullptr;
}

absl::StatusOr<SimVm> LoadSimVm(const std::string& folder) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string json, ReadSimFile(folder + "/vm.json"));
  Struct object;
  if (!google::protobuf::util::JsonStringToMessage(json, &object).ok()) {
    return error::HypervisorFailed("read " + folder + "/vm.json", "it is not a JSON object");
  }
  SimVm vm = FromStruct(object);
  vm.folder = folder;
  return vm;
}

absl::Status SaveSimVm(const SimVm& vm) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  if (!google::protobuf::util::MessageToJsonString(ToStruct(vm), &json, options).ok()) {
    return error::HypervisorFailed("write vm.json", "its content is not UTF-8");
  }
  return ReplaceSimFile(vm.folder + "/vm.json", json);
}

std::string SimXml(const SimVm& vm, bool live) {
  std::string disks;
  for (const SimDisk& disk : vm.disks) {
    const bool on_overlay = !disk.overlay.empty();
    absl::StrAppend(&disks, DiskXml(disk.target, on_overlay ? "qcow2" : disk.format,
                                    on_overlay ? disk.overlay : disk.base));
  }
  return DomainXml(vm, live ? " id='1'" : "", disks);
}

std::string SimXml(const SimVm& vm, const std::vector<Hypervisor::RestoreFile>& files) {
  std::string disks;
  for (const auto& file : files) {
    absl::StrAppend(&disks, DiskXml(file.target, file.format, file.file));
  }
  return DomainXml(vm, "", disks);
}

}  // namespace vmkeep::executor
