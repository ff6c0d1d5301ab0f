#include "executor/hypervisor/sim/sim_overlay.h"

#include "common/status_macros.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
}

// Writes all of `bytes` at `offset` of a file opened with `flags`, and flushes it.
absl::Status WriteAt(const std::string& path, int flags, int64_t offset, absl::string_view bytes) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return Failed("open", path);
  bool written = true;
  while (written && !bytes.empty()) {
    const ssize_t count = pwrite(fd, bytes.data(), bytes.size(), offset);
    written = count > 0;
    if (written) bytes.remove_prefix(static_cast<size_t>(count));
    offset += count;
  }
  const absl::Status status = written && fsync(fd) == 0 ? absl::OkStatus() : Failed("write", path);
  close(fd);
  return status;
}

// What the overlay holds, byte by byte: later writes win.
absl::StatusOr<std::map<int64_t, char>> Content(const std::string& overlay) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string text, ReadSimFile(overlay));
  std::map<int64_t, char> content;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, ' ');
    int64_t offset = 0;
    if (!absl::SimpleAtoi(parts.first, &offset)) continue;  // a line that a kill cut short
    for (const char byte : absl::HexStringToBytes(parts.second)) content[offset++] = byte;
  }
  return content;
}

}  // namespace

absl::StatusOr<std::string> ReadSimFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("no file ", path));
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

absl::Status ReplaceSimFile(const std::string& path, absl::string_view content) {
  const std::string beside = path + ".new";
  VMKEEP_RETURN_IF_ERROR(WriteAt(beside, O_WRONLY | O_CREAT | O_TRUNC, 0, content));
  if (std::rename(beside.c_str(), path.c_str()) != 0) return Failed("rename", beside);
  return absl::OkStatus();
}

absl::Status CreateOverlay(const std::string& path) {
  return WriteAt(path, O_WRONLY | O_CREAT | O_EXCL, 0, "");
}

absl::Status AppendWrite(const std::string& overlay, int64_t offset, absl::string_view bytes) {
  VMKEEP_ASSIGN_OR_RETURN(std::string text, ReadSimFile(overlay));
  const auto end = static_cast<int64_t>(text.size());
  return WriteAt(overlay, O_WRONLY, end,
                 absl::StrCat(offset, " ", absl::BytesToHexString(bytes), "\n"));
}

absl::Status AppendLine(const std::string& path, absl::string_view line) {
  return WriteAt(path, O_WRONLY | O_CREAT | O_APPEND, 0, absl::StrCat(line, "\n"));
}

absl::Status WriteImage(const std::string& image, int64_t offset, absl::string_view bytes) {
  return WriteAt(image, O_WRONLY, offset, bytes);
}

absl::Status ApplyOverlay(const std::string& overlay, const std::string& base) {
  VMKEEP_ASSIGN_OR_RETURN(const auto content, Content(overlay));
  for (auto at = content.begin(); at != content.end();) {
    const int64_t offset = at->first;
    std::string bytes;
    for (; at != content.end() && at->first == offset + static_cast<int64_t>(bytes.size()); ++at) {
      bytes.push_back(at->second);
    }
    VMKEEP_RETURN_IF_ERROR(WriteImage(base, offset, bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsApplied(const std::string& overlay, const std::string& base) {
  VMKEEP_ASSIGN_OR_RETURN(const auto content, Content(overlay));
  std::ifstream in(base, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("no file ", base));
  for (const auto& [offset, byte] : content) {
    in.seekg(offset);
    if (in.get() != static_cast<unsigned char>(byte)) return false;
  }
  return true;
}

}  // namespace vmkeep::executor
