#include "executor/hypervisor/sim/sim_setup.h"

#include "common/error.h"
#include "common/status_macros.h"
#include "executor/hypervisor/sim/sim_vm.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <system_error>

namespace vmkeep::executor {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr int kMaxDisks = 26;  // vda to vdz

// FNV-1a: the same in every build, which std::hash does not promise.
uint64_t Fingerprint(uint64_t start, absl::string_view text) {
  uint64_t hash = start;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  int64_t unit = 1;
  if (absl::ConsumeSuffix(&text, "MiB")) {
    unit = kMiB;
  } else if (absl::ConsumeSuffix(&text, "GiB")) {
    unit = kMiB << 10;
  }
  int64_t count = 0;
  if (!absl::SimpleAtoi(text, &count) || count <= 0 || count > (int64_t{1} << 42) / unit) {
    return absl::InvalidArgumentError("no size such as 64MiB or 2GiB");
  }
  return count * unit;
}

absl::StatusOr<SimVmSpec> ParseSimVm(absl::string_view entry) {
  // From the right: a name may hold anything else.
  const size_t size_at = entry.rfind(':');
  const size_t disks_at =
      size_at == absl::string_view::npos || size_at == 0 ? size_at : entry.rfind(':', size_at - 1);
  SimVmSpec spec;
  if (disks_at == absl::string_view::npos || disks_at == 0 ||
      !absl::SimpleAtoi(entry.substr(disks_at + 1, size_at - disks_at - 1), &spec.disks) ||
      spec.disks < 1 || spec.disks > kMaxDisks) {
    return absl::InvalidArgumentError("not name:disks:size with 1 to 26 disks");
  }
  spec.name = std::string(entry.substr(0, disks_at));
  VMKEEP_ASSIGN_OR_RETURN(spec.disk_bytes, ParseBytes(entry.substr(size_at + 1)));
  return spec;
}

// Half of the image is holes; of the rest a quarter is data.
absl::Status CreateImage(const std::string& path, int64_t bytes, uint64_t seed) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, "create " + path);
  std::mt19937_64 random(seed);
  std::string block(kMiB / 4, '\0');
  bool written = ftruncate(fd, bytes) == 0;
  for (int64_t at = 0; written && at + kMiB <= bytes; at += 2 * kMiB) {
    for (size_t i = 0; i < block.size(); i += 8) {
      const uint64_t word = random();
      block.replace(i, 8, reinterpret_cast<const char*>(&word), 8);
    }
    written = pwrite(fd, block.data(), block.size(), at) == static_cast<ssize_t>(block.size());
  }
  written = written && fsync(fd) == 0;
  const absl::Status status =
      written ? absl::OkStatus() : absl::ErrnoToStatus(errno, "write " + path);
  close(fd);
  return status;
}

}  // namespace

absl::StatusOr<std::vector<SimVmSpec>> ParseSimVms(absl::string_view list) {
  std::vector<SimVmSpec> specs;
  for (absl::string_view entry : absl::StrSplit(list, ',', absl::SkipEmpty())) {
    absl::StatusOr<SimVmSpec> spec = ParseSimVm(entry);
    if (!spec.ok()) {
      return InvalidArgument("sim_vms", absl::StrCat("\"", entry, "\": ", spec.status().message()));
    }
    specs.push_back(*std::move(spec));
  }
  return specs;
}

std::string SimVmUuid(absl::string_view name) {
  const uint64_t high = Fingerprint(0xcbf29ce484222325, name);
  const uint64_t low = Fingerprint(high, absl::StrCat("vmkeep-sim/", name));
  // Version 8, "custom", and the usual variant.
  return absl::StrFormat("%08x-%04x-8%03x-%04x-%012x", high >> 32, (high >> 16) & 0xffff,
                         high & 0xfff, 0x8000 | ((low >> 48) & 0x3fff), low & 0xffffffffffff);
}

absl::Status CreateSimVm(const std::string& folder, const SimVmSpec& spec) {
  SimVm vm;
  vm.uuid = SimVmUuid(spec.name);
  vm.name = spec.name;
  vm.folder = absl::StrCat(folder, "/", vm.uuid);
  std::error_code failed;
  if (std::filesystem::exists(vm.folder + "/vm.json", failed)) return absl::OkStatus();
  std::filesystem::create_directories(vm.folder, failed);
  if (failed) return absl::InternalError(absl::StrCat("make ", vm.folder, ": ", failed.message()));
  for (int i = 0; i < spec.disks; ++i) {
    SimDisk disk;
    disk.target = absl::StrCat("vd", std::string(1, static_cast<char>('a' + i)));
    disk.format = "raw";
    disk.base = absl::StrCat(vm.folder, "/", disk.target, ".raw");
    VMKEEP_RETURN_IF_ERROR(CreateImage(disk.base, spec.disk_bytes,
                                       Fingerprint(0, absl::StrCat(spec.name, "/", disk.target))));
    vm.disks.push_back(disk);
  }
  return SaveSimVm(vm);
}

}  // namespace vmkeep::executor
