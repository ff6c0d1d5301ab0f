#include "executor/hypervisor/libvirt/domain_xml.h"

#include "common/status_macros.h"
#include "executor/hypervisor/libvirt/xml_text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <pugixml.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace vmkeep::executor::libvirt {
namespace {

// QEMU itself gives up on chains of about 200 images.
constexpr int kMaxChain = 256;
constexpr char kAgentName[] = "org.qemu.guest_agent.0";

bool Has(pugi::xml_node node, const char* child) { return !node.child(child).empty(); }

// Empty for what is neither a file nor a block device.
std::string PathOf(pugi::xml_node source) {
  const pugi::xml_attribute file = source.attribute("file");
  return file ? file.value() : source.attribute("dev").value();
}

void ParseChain(pugi::xml_node node, DiskXml& disk) {
  pugi::xml_node link = node.child("backingStore");
  while (link && link.child("source") && disk.backing.size() < kMaxChain) {
    disk.backing.push_back(
        {PathOf(link.child("source")), link.child("format").attribute("type").value()});
    link = link.child("backingStore");
  }
  // An empty element ends the chain; none leaves it open.
  disk.whole_chain = link && !link.child("source");
}

std::optional<Mirror> ParseMirror(pugi::xml_node disk) {
  const pugi::xml_node mirror = disk.child("mirror");
  if (!mirror) return std::nullopt;
  return Mirror{.job = mirror.attribute("job").value(),
                .file = PathOf(mirror.child("source")),
                .ready = absl::string_view(mirror.attribute("ready").value()) == "yes"};
}

DiskXml ParseDisk(pugi::xml_node node) {
  const pugi::xml_node source = node.child("source");
  DiskXml disk;
  disk.target = node.child("target").attribute("dev").value();
  disk.device = node.attribute("device").as_string("disk");
  disk.type = node.attribute("type").as_string("file");
  disk.format = node.child("driver").attribute("type").value();
  disk.source = PathOf(source);
  disk.protocol = source.attribute("protocol").value();
  disk.empty = !source || source.attributes_begin() == source.attributes_end();
  disk.readonly = Has(node, "readonly");
  disk.shareable = Has(node, "shareable");
  disk.transient = Has(node, "transient");
  disk.encrypted = Has(node, "encryption") || Has(source, "encryption");
  disk.data_file = PathOf(source.child("dataStore").child("source"));
  disk.slice = Has(source, "slices");
  ParseChain(node, disk);
  disk.mirror = ParseMirror(node);
  return disk;
}

AgentChannel ParseAgent(pugi::xml_node devices) {
  for (const pugi::xml_node channel : devices.children("channel")) {
    const pugi::xml_node target = channel.child("target");
    if (absl::string_view(target.attribute("name").value()) != kAgentName) continue;
    const bool connected = absl::string_view(target.attribute("state").value()) == "connected";
    return connected ? AgentChannel::kConnected : AgentChannel::kDisconnected;
  }
  return AgentChannel::kNone;
}

// A label that libvirt keeps up to date itself; type='none' is a VM that the administrator took
// out.
bool ParseAppArmor(pugi::xml_node domain) {
  for (const pugi::xml_node label : domain.children("seclabel")) {
    if (absl::string_view(label.attribute("model").value()) != "apparmor") continue;
    return absl::string_view(label.attribute("type").value()) != "none";
  }
  return false;
}

std::string ParseNvram(pugi::xml_node domain) {
  const pugi::xml_node nvram = domain.child("os").child("nvram");
  const absl::string_view source = nvram.child("source").attribute("file").value();
  return std::string(source.empty() ? absl::StripAsciiWhitespace(nvram.child_value()) : source);
}

std::vector<std::string> ParseNotIncluded(pugi::xml_node devices) {
  static constexpr std::pair<const char*, const char*> kParts[] = {
      {"tpm", "TPM state"},
      {"hostdev", "devices of the host that are passed through"},
      {"filesystem", "folders of the host that are shared with the guest"},
  };
  std::vector<std::string> words;
  for (const auto& [element, text] : kParts) {
    if (devices.child(element)) words.emplace_back(text);
  }
  return words;
}

bool IsOurDisk(pugi::xml_node disk, const std::vector<OverlayDisk>& ours) {
  const absl::string_view target = disk.child("target").attribute("dev").value();
  return std::any_of(ours.begin(), ours.end(),
                     [&](const OverlayDisk& one) { return one.target == target; });
}

// A line of the comment that says which file goes where.
std::string RestoreHint(const Hypervisor::RestoreFile& file, absl::string_view source) {
  // XML allows no "--" inside of a comment, and a changed path would be worse than none.
  if (absl::StrContains(absl::StrCat(file.file, source), "--")) {
    return absl::StrCat("\n     ", file.target, ": its file -> the source of disk ", file.target);
  }
  return absl::StrCat("\n     ", file.file, " -> ", source);
}

// The disk's driver, for an image that stands for itself.
void TellWhatIsStored(pugi::xml_node disk, const std::string& format) {
  pugi::xml_node driver = disk.child("driver");
  if (!driver) driver = disk.prepend_child("driver");
  if (!driver.attribute("name")) driver.append_attribute("name") = "qemu";
  if (!driver.attribute("type")) driver.append_attribute("type");
  driver.attribute("type") = format.c_str();
  if (format != "qcow2") {  // libvirt takes these for qcow2 only
    driver.remove_child("metadata_cache");
    driver.remove_attribute("discard_no_unref");
  }
  while (disk.remove_child("backingStore")) {
  }
  while (disk.child("source").remove_child("dataStore")) {
  }
}

// The definition without the images of these disks.
absl::StatusOr<std::string> WithoutImages(absl::string_view xml,
                                          const std::vector<OverlayDisk>& disks) {
  pugi::xml_document document;
  VMKEEP_RETURN_IF_ERROR(ParseXml(xml, "domain", document));
  for (pugi::xml_node disk : document.child("domain").child("devices").children("disk")) {
    if (!IsOurDisk(disk, disks)) continue;
    disk.remove_attribute("type");  // a block device's overlay is a file
    disk.child("driver").remove_attribute("type");
    disk.remove_child("source");
    disk.remove_child("backingStore");
  }
  return XmlText(document);
}

// The definition with its devices grouped by element and type.
absl::StatusOr<std::string> WithSortedDevices(absl::string_view xml) {
  pugi::xml_document document;
  VMKEEP_RETURN_IF_ERROR(ParseXml(xml, "domain", document));
  pugi::xml_node devices = document.child("domain").child("devices");
  std::map<std::pair<std::string, std::string>, std::string> groups;
  for (const pugi::xml_node device : devices.children()) {
    pugi::xml_document one;
    one.append_copy(device);
    groups[{device.name(), device.attribute("type").value()}] += XmlText(one);
  }
  devices.remove_children();
  std::string text = XmlText(document);
  for (const auto& [key, group] : groups) text += group;
  return text;
}

}  // namespace

const DiskXml* DomainXml::Find(absl::string_view target) const {
  const auto found = std::find_if(disks.begin(), disks.end(),
                                  [&](const DiskXml& disk) { return disk.target == target; });
  return found == disks.end() ? nullptr : &*found;
}

absl::StatusOr<DomainXml> ParseDomain(absl::string_view xml) {
  pugi::xml_document document;
  VMKEEP_RETURN_IF_ERROR(ParseXml(xml, "domain", document));
  const pugi::xml_node root = document.child("domain");
  const pugi::xml_node devices = root.child("devices");
  DomainXml domain;
  domain.uuid = absl::AsciiStrToLower(absl::StripAsciiWhitespace(root.child_value("uuid")));
  domain.name = root.child_value("name");
  domain.nvram = ParseNvram(root);
  domain.not_included = ParseNotIncluded(devices);
  domain.agent = ParseAgent(devices);
  domain.apparmor = ParseAppArmor(root);
  std::set<std::string> targets;
  for (const pugi::xml_node node : devices.children("disk")) {
    DiskXml disk = ParseDisk(node);
    if (disk.target.empty() || !targets.insert(disk.target).second) {
      return absl::InvalidArgumentError("the domain has a disk without a target of its own");
    }
    domain.disks.push_back(std::move(disk));
  }
  return domain;
}

std::vector<OverlayDisk> OverlaysIn(const DomainXml& domain) {
  std::vector<OverlayDisk> overlays;
  for (const DiskXml& disk : domain.disks) {
    std::vector<ChainLink> chain = {{disk.source, disk.format}};
    chain.insert(chain.end(), disk.backing.begin(), disk.backing.end());
    for (size_t i = 0; i < chain.size(); ++i) {
      if (OverlayTask(chain[i].file).empty()) continue;
      const ChainLink base = i + 1 < chain.size() ? chain[i + 1] : ChainLink{};
      overlays.push_back({.vm_uuid = domain.uuid,
                          .target = disk.target,
                          .base = base.file,
                          .base_format = base.format,
                          .overlay = chain[i].file});
    }
  }
  return overlays;
}

std::vector<std::string> OverlayFilesOf(const std::vector<OverlayDisk>& disks) {
  std::vector<std::string> files;
  files.reserve(disks.size());
  for (const OverlayDisk& disk : disks) files.push_back(disk.overlay);
  return files;
}

absl::StatusOr<bool> Names(absl::string_view xml, absl::string_view path) {
  pugi::xml_document document;
  VMKEEP_RETURN_IF_ERROR(ParseXml(xml, "domain", document));
  const pugi::xml_node found = document.find_node([&](pugi::xml_node node) {
    if (absl::StripAsciiWhitespace(node.value()) == path) return true;
    return std::any_of(node.attributes_begin(), node.attributes_end(),
                       [&](pugi::xml_attribute attribute) { return attribute.value() == path; });
  });
  return !found.empty();
}

absl::StatusOr<bool> SameButForImages(absl::string_view xml, absl::string_view other,
                                      const std::vector<OverlayDisk>& disks) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string one, WithoutImages(xml, disks));
  VMKEEP_ASSIGN_OR_RETURN(const std::string two, WithoutImages(other, disks));
  return one == two;
}

absl::StatusOr<bool> SameButForOrder(absl::string_view xml, absl::string_view other) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string one, WithSortedDevices(xml));
  VMKEEP_ASSIGN_OR_RETURN(const std::string two, WithSortedDevices(other));
  return one == two;
}

std::string SnapshotXml(const SnapshotPlan& plan) {
  pugi::xml_document document;
  pugi::xml_node disks = document.append_child("domainsnapshot").append_child("disks");
  for (const OverlayDisk& disk : plan.disks) {
    pugi::xml_node node = disks.append_child("disk");
    node.append_attribute("name") = disk.target.c_str();
    node.append_attribute("snapshot") = "external";
    node.append_attribute("type") = "file";
    node.append_child("driver").append_attribute("type") = "qcow2";
    node.append_child("source").append_attribute("file") = disk.overlay.c_str();
  }
  for (const std::string& target : plan.untouched) {
    pugi::xml_node node = disks.append_child("disk");
    node.append_attribute("name") = target.c_str();
    node.append_attribute("snapshot") = "no";
  }
  return XmlText(document);
}

absl::StatusOr<std::string> RestoreXmlFrom(absl::string_view definition,
                                           const std::vector<Hypervisor::RestoreFile>& files,
                                           const std::string& nvram) {
  pugi::xml_document document;
  VMKEEP_RETURN_IF_ERROR(ParseXml(definition, "domain", document));
  pugi::xml_node domain = document.child("domain");
  // Live XML has it, of a transient VM: a definition has none.
  domain.remove_attribute("id");
  std::string comment = " Restore: copy each file to its place, then `virsh define` this.";
  for (const Hypervisor::RestoreFile& file : files) {
    pugi::xml_node disk = domain.child("devices").find_child([&](pugi::xml_node node) {
      return absl::string_view(node.name()) == "disk" &&
             node.child("target").attribute("dev").value() == file.target;
    });
    if (!disk) {
      return absl::InvalidArgumentError(absl::StrCat("the definition has no disk ", file.target));
    }
    TellWhatIsStored(disk, file.format);
    absl::StrAppend(&comment, RestoreHint(file, PathOf(disk.child("source"))));
  }
  if (!nvram.empty() && !absl::StrContains(nvram, "--")) {
    absl::StrAppend(&comment, "\n     nvram -> ", nvram);
  }
  document.prepend_child(pugi::node_comment).set_value((comment + " ").c_str());
  return XmlText(document);
}

}  // namespace vmkeep::executor::libvirt
