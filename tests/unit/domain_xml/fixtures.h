#ifndef VMKEEP_TESTS_UNIT_DOMAIN_XML_FIXTURES_H_
#define VMKEEP_TESTS_UNIT_DOMAIN_XML_FIXTURES_H_

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include <string>

// Domain XMLs as libvirt 9.0 writes them; the ones of an overlay were taken from a running VM.
namespace vmkeep::executor::libvirt::fixtures {

inline constexpr char kUuid[] = "11111111-2222-4333-8444-555555555555";
inline constexpr char kTask[] = "01990000-0000-7000-8000-000000000001";

// A domain around the text of its devices, and of what stands before and behind them.
inline std::string Domain(absl::string_view devices, absl::string_view before = "",
                          absl::string_view behind = "") {
  return absl::StrCat("<domain type='kvm' id='7'>\n  <name>web</name>\n  <uuid>", kUuid,
                      "</uuid>\n", before, "  <devices>\n", devices, "  </devices>\n", behind,
                      "</domain>\n");
}

inline constexpr char kSimpleDisk[] = R"(
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/vm/a.raw' index='3'/>
      <backingStore/>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
    </disk>)";

// vda, on our overlay; `middle` goes between its chain and its target.
inline std::string OnOverlay(absl::string_view middle = "") {
  return absl::StrCat(R"(
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/vm/a.raw.vmkeep-)",
                      kTask, R"(.qcow2' index='4'/>
      <backingStore type='file' index='3'>
        <format type='raw'/>
        <source file='/vm/a.raw'/>
        <backingStore/>
      </backingStore>)",
                      middle, R"(
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
    </disk>)");
}

inline constexpr char kMirror[] = R"(
      <mirror type='file' job='active-commit'>
        <format type='raw'/>
        <source file='/vm/a.raw'/>
      </mirror>)";
inline constexpr char kReadyMirror[] = R"(
      <mirror type='file' job='active-commit' ready='yes'>
        <format type='raw'/>
        <source file='/vm/a.raw'/>
      </mirror>)";

}  // namespace vmkeep::executor::libvirt::fixtures

#endif  // VMKEEP_TESTS_UNIT_DOMAIN_XML_FIXTURES_H_
