#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_DOMAIN_XML_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_DOMAIN_XML_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <optional>
#include <string>
#include <vector>

// libvirt's domain XML, read into what a backup asks of it. Pure functions: no libvirt, no I/O, any
// text is survived. Error texts never quote the XML: it may hold secrets.
namespace vmkeep::executor::libvirt {

// One image below the top of a disk's chain.
struct ChainLink {
  std::string file;    // or block device; empty when the image is neither
  std::string format;  // as libvirt records it
};

struct Mirror {
  std::string job;   // "active-commit", "copy"; empty once the job ended, until libvirt removes it
  std::string file;  // where the job writes
  bool ready = false;
};

struct DiskXml {
  std::string target;
  std::string device;    // "disk", "cdrom", "floppy", "lun"
  std::string type;      // "file", "block", "network", ...
  std::string format;    // the driver's type; empty when not declared
  std::string source;    // the file or block device; empty when there is none, or it is neither
  std::string protocol;  // of a network disk
  bool empty = false;    // no source of any kind
  bool readonly = false;
  bool shareable = false;
  bool transient = false;
  bool encrypted = false;
  std::string data_file;  // of a qcow2 whose data is in a second file, as newer libvirt says
  bool slice = false;     // the disk is a part of its file
  // Below `source`, nearest first. Only the live XML tells all of them; the inactive one has one at
  // the most after a snapshot (libvirt-facts.md, 1).
  std::vector<ChainLink> backing;
  bool whole_chain = false;      // nothing is below `backing`; else it is not said
  std::optional<Mirror> mirror;  // a block job under way; only in live XML
};

enum class AgentChannel { kNone, kDisconnected, kConnected };

struct DomainXml {
  std::string uuid;
  std::string name;
  std::vector<DiskXml> disks;
  std::string nvram;
  std::vector<std::string> not_included;  // parts of the VM that are no disk, in words
  AgentChannel agent = AgentChannel::kNone;
  bool apparmor =
      false;  // QEMU is confined by an AppArmor profile that libvirt made; only in live XML

  const DiskXml* Find(absl::string_view target) const;
};

// kInvalidArgument when the text is no domain.
absl::StatusOr<DomainXml> ParseDomain(absl::string_view xml);

// Our overlays in a domain, wherever in a disk's chain they are. `base` is empty where the XML does
// not tell it.
std::vector<OverlayDisk> OverlaysIn(const DomainXml& domain);

// Their files, as an error names them.
std::vector<std::string> OverlayFilesOf(const std::vector<OverlayDisk>& disks);

// Whether any attribute or text of the XML is this path. kInvalidArgument when the text is no XML.
absl::StatusOr<bool> Names(absl::string_view xml, absl::string_view path);

// Whether two definitions say the same but for the images of these disks: driver type, source and
// chain.
absl::StatusOr<bool> SameButForImages(absl::string_view xml, absl::string_view other,
                                      const std::vector<OverlayDisk>& disks);

// Whether two definitions say the same but for where devices of different types stand: libvirt
// sorts some anew when it reads a definition of its own (seen with controllers). Devices of one
// type keep their order.
absl::StatusOr<bool> SameButForOrder(absl::string_view xml, absl::string_view other);

// What virDomainSnapshotCreateXML takes: every target listed, so that libvirt makes up no name of
// its own.
std::string SnapshotXml(const SnapshotPlan& plan);

// A definition for `virsh define` once each file was copied to the source that its disk names
// (libvirt takes absolute paths only, so the sources stay as they were); a comment in it says which
// file goes where, the NVRAM's too when the backup has it (`nvram` is where it was).
absl::StatusOr<std::string> RestoreXmlFrom(absl::string_view definition,
                                           const std::vector<Hypervisor::RestoreFile>& files,
                                           const std::string& nvram);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_DOMAIN_XML_H_
