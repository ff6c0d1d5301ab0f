#include "tests/integration/libvirt/lab.h"

#include "common/clock.h"
#include "common/process/process.h"
#include "common/uuid.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/substitute.h"
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace vmkeep::executor::lab {
namespace {

constexpr absl::Duration kCommandTimeout = absl::Minutes(2);

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "lab: %s\n", why.c_str());
  std::abort();
}

std::string Numbered(const std::string& what) {
  static std::atomic<int> last = 0;
  return absl::StrCat(what, ++last);
}

constexpr char kDisk[] = R"(
    <disk type='file' device='disk'>
      <driver name='qemu' type='$0'/>
      <source file='$1'/>
      <target dev='$2' bus='virtio'/>
    </disk>)";
constexpr char kCdDrive[] = R"(
    <disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>)";
constexpr char kDomain[] = R"(<domain type='qemu'>
  <name>$0</name>
  <uuid>$1</uuid>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <devices>$2
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
)";

}  // namespace

std::string Run(const std::vector<std::string>& argv) {
  const absl::StatusOr<process::RunResult> ran = process::RunToEnd(argv, kCommandTimeout);
  if (!ran.ok()) Die(absl::StrCat(absl::StrJoin(argv, " "), ": ", ran.status().ToString()));
  if (!ran->exit_status.ok()) {
    Die(absl::StrCat(absl::StrJoin(argv, " "), ": ", ran->exit_status.ToString(), ": ", ran->err));
  }
  return ran->out;
}

bool Succeeds(const std::vector<std::string>& argv) {
  const absl::StatusOr<process::RunResult> ran = process::RunToEnd(argv, kCommandTimeout);
  return ran.ok() && ran->exit_status.ok();
}

std::string Virsh(std::vector<std::string> arguments) {
  std::vector<std::string> argv = {"virsh", "-q", "-c", "qemu:///system"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return Run(argv);
}

std::string Tool(const std::string& name, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), absl::StrCat(VMKEEP_LAB, "/", name));
  return Run(arguments);
}

std::string NewFolder(const std::string& name) {
  std::string folder = absl::StrCat(std::getenv("LAB_DIR"), "/", Numbered(name));
  if (mkdir(folder.c_str(), 0755) != 0) Die(absl::StrCat("mkdir ", folder, ": ", strerror(errno)));
  return folder;
}

bool Eventually(const std::function<bool()>& holds, absl::Duration timeout) {
  Clock& clock = RealClock();
  const absl::Duration deadline = clock.Monotonic() + timeout;
  while (!holds()) {
    if (clock.Monotonic() >= deadline) return false;
    clock.WaitFor(absl::Milliseconds(20), {});
  }
  return true;
}

BareVm::BareVm(bool plain)
    : uuid_(NewUuid4()), name_(Numbered("bare")), folder_(NewFolder("bare")), plain_(plain) {
  Run({"qemu-img", "create", "-q", "-f", "raw", Path("vda"), "8M"});
  Run({"qemu-img", "create", "-q", "-f", "qcow2", Path("vdb"), "8M"});
  const std::string file = folder_ + "/domain.xml";
  std::ofstream(file) << Xml();
  Virsh({"define", file});
  PowerOn();
}

BareVm::~BareVm() {
  // The test may have ended either already.
  for (const char* verb : {"destroy", "undefine"}) {
    (void)Succeeds({"virsh", "-q", "-c", "qemu:///system", verb, uuid_});
  }
}

std::string BareVm::Path(const std::string& target) const {
  return absl::StrCat(folder_, "/", target, target == "vda" ? ".raw" : ".qcow2");
}

std::string BareVm::Xml(const std::string& more_devices) const {
  const std::string disks =
      absl::StrCat(absl::Substitute(kDisk, "raw", Path("vda"), "vda"),
                   absl::Substitute(kDisk, "qcow2", Path("vdb"), "vdb"), plain_ ? "" : kCdDrive);
  return absl::Substitute(kDomain, name_, uuid_, disks + more_devices);
}

void BareVm::Write(const std::string& target, uint64_t offset, uint8_t value) const {
  WriteAsGuest(uuid_, target.back() - 'a', offset, value);
}

void WriteAsGuest(const std::string& vm, int disk, uint64_t offset, uint8_t value) {
  const std::string device =
      absl::StrFormat("/machine/peripheral/virtio-disk%d/virtio-backend", disk);
  for (const std::string& command :
       {absl::StrFormat("write -P %d %d 4k", value, offset), std::string("flush")}) {
    const std::string said = Virsh({"qemu-monitor-command", vm, "--hmp",
                                    absl::StrFormat("qemu-io -d %s \"%s\"", device, command)});
    if (absl::StrContains(said, "rror")) Die(said);
  }
}

uint8_t ByteOf(const std::string& image, const std::string& format, uint64_t offset) {
  const std::string flat = absl::StrCat(NewFolder("flat"), "/image");
  // -U: the image may be in use by the VM.
  Run({"qemu-img", "convert", "-U", "-f", format, "-O", "raw", image, flat});
  std::ifstream in(flat, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  return static_cast<uint8_t>(in.get());
}

}  // namespace vmkeep::executor::lab
