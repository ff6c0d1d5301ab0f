#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/fs/win32.h"
#include "common/status_macros.h"

#include <winternl.h>

#include <algorithm>

namespace vmkeep::fs {

absl::StatusOr<OutputFile> OutputFile::Create(const Fd& dir, const std::string& name, mode_t) {
  VMKEEP_RETURN_IF_ERROR(Unlink(dir, name));
  VMKEEP_ASSIGN_OR_RETURN(
      Fd fd, win32::OpenNamed(dir, name, FILE_GENERIC_WRITE, FILE_CREATE, FILE_NON_DIRECTORY_FILE));
  return OutputFile(std::move(fd), name);
}

absl::StatusOr<OutputFile> OutputFile::Reopen(const Fd& dir, const std::string& name) {
  VMKEEP_ASSIGN_OR_RETURN(Fd fd, win32::OpenNamed(dir, name, FILE_GENERIC_READ | FILE_GENERIC_WRITE,
                                                  FILE_OPEN, FILE_NON_DIRECTORY_FILE));
  VMKEEP_ASSIGN_OR_RETURN(const FileInfo found, GetInfo(fd, name));
  if (found.kind == FileKind::kLink)
    return error::FromErrno(ELOOP, "will not write through the link", name);
  if (found.kind != FileKind::kFile || found.names != 1) return error::NotPlain(name);
  return OutputFile(std::move(fd), name);
}

absl::Status OutputFile::SetLength(int64_t bytes) {
  FILE_END_OF_FILE_INFO info{};
  info.EndOfFile.QuadPart = bytes;
  if (SetFileInformationByHandle(fd_.get(), FileEndOfFileInfo, &info, sizeof(info)) == 0)
    return win32::LastError("cannot set the length of", name_);
  return absl::OkStatus();
}

absl::Status OutputFile::WriteAt(int64_t offset, absl::string_view bytes) const {
  while (!bytes.empty()) {
    OVERLAPPED at{};
    at.Offset = static_cast<DWORD>(offset);
    at.OffsetHigh = static_cast<DWORD>(offset >> 32);
    DWORD put = 0;
    if (::WriteFile(fd_.get(), bytes.data(),
                    static_cast<DWORD>(std::min(bytes.size(), win32::kMaxStepBytes)), &put,
                    &at) == 0)
      return win32::LastError("cannot write", name_);
    bytes.remove_prefix(put);
    offset += put;
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::fs
