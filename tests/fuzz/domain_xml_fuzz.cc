// libvirt's domain XML, and every decision that stands on it.
#include "executor/hypervisor/libvirt/domain_xml.h"

#include "executor/hypervisor/libvirt/preflight.h"
#include "executor/hypervisor/libvirt/xml_text.h"
#include "tests/fuzz/fuzz.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include <pugixml.hpp>

#include <string>
#include <vector>

namespace vmkeep::executor::libvirt {
namespace {

constexpr char kTask[] = "01990000-0000-7000-8000-000000000001";

// All that is read of a disk, and of a domain, to compare two.
std::string Print(const DiskXml& disk) {
  std::string text = absl::StrJoin({disk.target, disk.device, disk.type, disk.format, disk.source,
                                    disk.protocol, disk.data_file},
                                   "|");
  for (const bool flag : {disk.empty, disk.readonly, disk.shareable, disk.transient, disk.encrypted,
                          disk.slice, disk.whole_chain}) {
    absl::StrAppend(&text, flag ? "1" : "0");
  }
  for (const ChainLink& link : disk.backing) {
    absl::StrAppend(&text, "|", link.file, ":", link.format);
  }
  if (disk.mirror) {
    absl::StrAppend(&text, "|", disk.mirror->job, ":", disk.mirror->file, disk.mirror->ready);
  }
  return text;
}

// Blanks around a text and the kind of a line's end do not survive printing, and mean nothing.
std::string Print(absl::string_view text) {
  return absl::StrReplaceAll(absl::StripAsciiWhitespace(text), {{"\r\n", "\n"}, {"\r", "\n"}});
}

std::string Print(const DomainXml& domain) {
  std::string text = absl::StrCat(Print(domain.name), "|", Print(domain.uuid), "|",
                                  Print(domain.nvram), "|", absl::StrJoin(domain.not_included, ","),
                                  "|", static_cast<int>(domain.agent), domain.apparmor);
  for (const DiskXml& disk : domain.disks) absl::StrAppend(&text, "\n", Print(disk));
  return text;
}

// Stops where the secret stands in anything but a password.
class SecretElsewhere final : public pugi::xml_tree_walker {
 public:
  bool for_each(pugi::xml_node& node) override {
    if (absl::StrContains(node.value(), fuzz::kSecret)) return false;
    for (const pugi::xml_attribute attribute : node.attributes()) {
      if (absl::string_view(attribute.name()) == "passwd") continue;
      if (absl::StrContains(attribute.value(), fuzz::kSecret)) return false;
    }
    return true;
  }
};

// A path or a name may be quoted, and nothing is of what cannot be read.
bool OnlyInPasswords(absl::string_view xml) {
  pugi::xml_document document;
  SecretElsewhere walker;
  return !ParseXml(xml, "domain", document).ok() || document.traverse(walker);
}

// The errors that come of one input: none of them quotes a password.
class Errors {
 public:
  explicit Errors(absl::string_view xml) : secret_is_secret_(OnlyInPasswords(xml)) {}

  // Whether there is none.
  bool Ok(const absl::Status& status) const {
    VMKEEP_FUZZ_REQUIRE(!secret_is_secret_ || !fuzz::Quotes(status, fuzz::kSecret));
    return status.ok();
  }

 private:
  const bool secret_is_secret_;
};

// What is read is printed, and then read as the same.
void RequireRoundTrip(absl::string_view xml, const DomainXml& domain) {
  pugi::xml_document document;
  VMKEEP_FUZZ_REQUIRE(ParseXml(xml, "domain", document).ok());
  const absl::StatusOr<DomainXml> again = ParseDomain(XmlText(document));
  VMKEEP_FUZZ_REQUIRE(again.ok());
  VMKEEP_FUZZ_REQUIRE(Print(*again) == Print(domain));
}

void RequireSameAsItself(absl::string_view xml, const std::vector<OverlayDisk>& ours) {
  VMKEEP_FUZZ_REQUIRE(SameButForImages(xml, xml, ours).value_or(false));
  VMKEEP_FUZZ_REQUIRE(SameButForOrder(xml, xml).value_or(false));
}

// An overlay that is found in a domain is named by it, so that it is never unlinked there.
void RequireOverlaysNamed(absl::string_view xml, const std::vector<OverlayDisk>& overlays) {
  for (const OverlayDisk& overlay : overlays) {
    VMKEEP_FUZZ_REQUIRE(!OverlayTask(overlay.overlay).empty());
    VMKEEP_FUZZ_REQUIRE(Names(xml, overlay.overlay).value_or(false));
  }
}

// The snapshot's XML names each disk once, whatever its target and path are made of.
void RequireSnapshotXml(const std::vector<OverlayDisk>& disks) {
  SnapshotPlan plan;
  plan.disks = disks;
  pugi::xml_document document;
  VMKEEP_FUZZ_REQUIRE(ParseXml(SnapshotXml(plan), "domainsnapshot", document).ok());
  size_t at = 0;
  for (const pugi::xml_node disk :
       document.child("domainsnapshot").child("disks").children("disk")) {
    VMKEEP_FUZZ_REQUIRE(at < disks.size() && disk.attribute("name").value() == disks[at].target);
    VMKEEP_FUZZ_REQUIRE(disk.child("source").attribute("file").value() == disks[at].overlay);
    ++at;
  }
  VMKEEP_FUZZ_REQUIRE(at == disks.size());
}

// What `virsh define` gets names the sources as before, and nothing below them.
void RequireRestorable(absl::string_view xml, const DomainXml& domain, const DiskChoice& choice,
                       const Errors& errors) {
  std::vector<Hypervisor::RestoreFile> files;
  files.reserve(choice.disks.size());
  for (const Disk& disk : choice.disks) {
    files.push_back({disk.target, absl::StrCat("disk-", disk.target, ".raw"), "raw"});
  }
  const absl::StatusOr<std::string> text = RestoreXmlFrom(xml, files, domain.nvram);
  VMKEEP_FUZZ_REQUIRE(errors.Ok(text.status()));
  const absl::StatusOr<DomainXml> restored = ParseDomain(*text);
  VMKEEP_FUZZ_REQUIRE(restored.ok() && restored->disks.size() == domain.disks.size());
  for (const Disk& disk : choice.disks) {
    const DiskXml* found = restored->Find(disk.target);
    VMKEEP_FUZZ_REQUIRE(found != nullptr && found->source == disk.source);
    VMKEEP_FUZZ_REQUIRE(found->format == "raw" && found->backing.empty());
    VMKEEP_FUZZ_REQUIRE(found->data_file.empty());
  }
}

// A disk that would be taken is on its base as long as no snapshot was made.
std::vector<OverlayDisk> RequireOnBase(const DomainXml& domain, const DiskChoice& choice) {
  std::vector<OverlayDisk> planned;
  for (const Disk& disk : choice.disks) {
    VMKEEP_FUZZ_REQUIRE(absl::StartsWith(disk.source, "/"));
    VMKEEP_FUZZ_REQUIRE(disk.format == "raw" || disk.format == "qcow2");
    const std::string overlay = OverlayPath(disk.source, kTask);
    VMKEEP_FUZZ_REQUIRE(OverlayTask(overlay) == kTask);
    planned.push_back({domain.uuid, disk.target, disk.source, disk.format, overlay});
    const absl::StatusOr<MergePhase> phase = PhaseIn(domain, /*running=*/true, planned.back());
    VMKEEP_FUZZ_REQUIRE(phase.ok() && *phase == MergePhase::kMerged);
  }
  return planned;
}

void Take(absl::string_view xml, const DomainXml& domain, const Errors& errors) {
  RequireRoundTrip(xml, domain);
  const std::vector<OverlayDisk> overlays = OverlaysIn(domain);
  RequireSameAsItself(xml, overlays);
  RequireOverlaysNamed(xml, overlays);
  RequireSnapshotXml(overlays);
  for (const OverlayDisk& overlay : overlays) {
    (void)errors.Ok(PhaseIn(domain, /*running=*/true, overlay).status());
    (void)errors.Ok(PhaseIn(domain, /*running=*/false, overlay).status());
  }
  (void)errors.Ok(CheckConfinement(domain, /*libvirt_version=*/9'000'000, /*allowed=*/false));
  const absl::StatusOr<DiskChoice> choice = ChooseDisks(domain, &domain);
  if (!errors.Ok(choice.status())) return;
  VMKEEP_FUZZ_REQUIRE(choice->disks.size() + choice->excluded.size() == domain.disks.size());
  RequireSnapshotXml(RequireOnBase(domain, *choice));
  RequireRestorable(xml, domain, *choice, errors);
}

void TakeText(absl::string_view xml) {
  const Errors errors(xml);
  const absl::StatusOr<DomainXml> domain = ParseDomain(xml);
  fuzz::NoteAccepted(errors.Ok(domain.status()));
  if (domain.ok()) return Take(xml, *domain, errors);
  VMKEEP_FUZZ_REQUIRE(fuzz::IsOneSentence(domain.status()));
}

}  // namespace
}  // namespace vmkeep::executor::libvirt

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmkeep::executor::libvirt::TakeText(vmkeep::fuzz::ToText(data, size));
  return 0;
}
