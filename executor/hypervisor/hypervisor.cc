#include "executor/hypervisor/hypervisor.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace vmkeep::executor {
namespace {

// A file name has at most 255 bytes; the mark, a UUID and the suffix take 51 of them.
constexpr size_t kMaxBaseNameBytes = 180;
constexpr absl::string_view kSuffix = ".qcow2";

uint64_t DevOf(const struct stat& file) {
  return S_ISBLK(file.st_mode) ? file.st_rdev : file.st_dev;
}
uint64_t InoOf(const struct stat& file) { return S_ISBLK(file.st_mode) ? 0 : file.st_ino; }

}  // namespace

void Disk::SetIdentity(const struct stat& file) {
  dev = DevOf(file);
  ino = InoOf(file);
}

bool Disk::IsOf(const struct stat& file) const { return dev == DevOf(file) && ino == InoOf(file); }

bool IsBlockDevice(const std::string& path) {
  struct stat found = {};
  return stat(path.c_str(), &found) == 0 && S_ISBLK(found.st_mode);
}

std::string OverlayPath(absl::string_view source, absl::string_view task_id) {
  const size_t slash = source.rfind('/');
  const size_t name_at = slash == absl::string_view::npos ? 0 : slash + 1;
  absl::string_view name = source.substr(name_at, kMaxBaseNameBytes);
  // Not through the middle of a UTF-8 character.
  if (source.size() > name_at + name.size()) {
    while (!name.empty() &&
           (static_cast<unsigned char>(source[name_at + name.size()]) & 0xC0) == 0x80) {
      name.remove_suffix(1);
    }
  }
  return absl::StrCat(source.substr(0, name_at), name, kOverlayMark, task_id, kSuffix);
}

std::string OverlayTask(absl::string_view path) {
  const size_t mark = path.rfind(kOverlayMark);
  if (mark == absl::string_view::npos) return {};
  absl::string_view task = path.substr(mark + kOverlayMark.size());
  if (!absl::ConsumeSuffix(&task, kSuffix) || absl::StrContains(task, '/')) return {};
  return std::string(task);
}

}  // namespace vmkeep::executor
