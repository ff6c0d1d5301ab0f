#include "common/fs/win32.h"

#include "common/fs/errors.h"
#include "common/fs/names.h"
#include "common/status_macros.h"
#include "common/win32/text.h"

#include <winternl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

namespace vmkeep::fs::win32 {
namespace {

constexpr ULONG kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
constexpr size_t kFolderBytes = size_t{64} << 10;

// ntstatus.h, of which winternl.h has little.
constexpr auto kDeletePending = static_cast<NTSTATUS>(0xC0000056);

// winerror.h; not in every mingw-w64.
constexpr DWORD kStoppedOnSymlink = 681;
constexpr DWORD kDiskQuotaExceeded = 1295;

// FILE_DISPOSITION_INFORMATION_EX and FileDispositionInfoEx: Windows 10 1607, Server 2016. Not in
// every mingw-w64.
constexpr auto kDispositionInfoEx = static_cast<FILE_INFO_BY_HANDLE_CLASS>(21);
constexpr ULONG kDispositionDelete = 0x1;
constexpr ULONG kDispositionPosix = 0x2;
constexpr ULONG kDispositionIgnoreReadOnly = 0x10;

// Nothing when it was removed; else the error.
std::optional<DWORD> Dispose(HANDLE handle) {
  ULONG flags = kDispositionDelete | kDispositionPosix | kDispositionIgnoreReadOnly;
  if (SetFileInformationByHandle(handle, kDispositionInfoEx, &flags, sizeof(flags)) != 0)
    return std::nullopt;
  const DWORD code = GetLastError();
  // A file system that does not know it; the older call says what is in the way.
  if (code == ERROR_DIR_NOT_EMPTY || code == ERROR_SHARING_VIOLATION) return code;
  FILE_DISPOSITION_INFO info{.DeleteFile = TRUE};
  if (SetFileInformationByHandle(handle, FileDispositionInfo, &info, sizeof(info)) != 0)
    return std::nullopt;
  return GetLastError();
}

// By a handle of its own, which asks for that right.
bool ClearReadOnly(const Fd& fd) {
  const absl::StatusOr<DWORD> attributes = Attributes(fd, "");
  if (!attributes.ok() || (*attributes & FILE_ATTRIBUTE_READONLY) == 0) return false;
  const absl::StatusOr<Fd> again = OpenEntry(fd, L"", FILE_WRITE_ATTRIBUTES, FILE_OPEN, 0);
  if (!again.ok()) return false;
  FILE_BASIC_INFO info{};  // times of 0 stay
  info.FileAttributes = *attributes & ~static_cast<DWORD>(FILE_ATTRIBUTE_READONLY);
  if (info.FileAttributes == 0) info.FileAttributes = FILE_ATTRIBUTE_NORMAL;
  return SetFileInformationByHandle(again->get(), FileBasicInfo, &info, sizeof(info)) != 0;
}

bool IsDots(std::wstring_view name) { return name == L"." || name == L".."; }

}  // namespace

absl::StatusOr<std::wstring> ToWide(absl::string_view utf8) {
  std::optional<std::wstring> wide = Widen(utf8);
  if (wide) return *std::move(wide);
  return FromCode(ERROR_NO_UNICODE_TRANSLATION, "there can be no file that is called", utf8);
}

int ErrnoOf(DWORD code) {
  switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME:
    case ERROR_BAD_NET_NAME:
    case ERROR_NO_UNICODE_TRANSLATION:
      return ENOENT;
    case ERROR_DIRECTORY:
      return ENOTDIR;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
      return EEXIST;
    case ERROR_DIR_NOT_EMPTY:
      return ENOTEMPTY;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
    case kDiskQuotaExceeded:
      return ENOSPC;
    case ERROR_ACCESS_DENIED:
    case ERROR_NETWORK_ACCESS_DENIED:
    case ERROR_LOGON_FAILURE:
    case ERROR_INVALID_PASSWORD:
    case ERROR_PRIVILEGE_NOT_HELD:
      return EACCES;
    case ERROR_WRITE_PROTECT:
      return EROFS;
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_DELETE_PENDING:
    case ERROR_BUSY:
      return EBUSY;
    case ERROR_CANT_RESOLVE_FILENAME:
    case kStoppedOnSymlink:
      return ELOOP;
    case ERROR_NOT_SAME_DEVICE:
      return EXDEV;
    case ERROR_INVALID_FUNCTION:
    case ERROR_NOT_SUPPORTED:
      return ENOSYS;
    case ERROR_INVALID_PARAMETER:
      return EINVAL;
    case ERROR_FILENAME_EXCED_RANGE:
      return ENAMETOOLONG;
    case ERROR_SEM_TIMEOUT:
    case ERROR_TIMEOUT:
      return ETIMEDOUT;
    default:
      return EIO;
  }
}

absl::Status FromCode(DWORD code, absl::string_view doing, absl::string_view path) {
  return error::FromWindows(code, ErrnoOf(code), doing, path);
}

absl::Status LastError(absl::string_view doing, absl::string_view path) {
  return FromCode(GetLastError(), doing, path);
}

absl::StatusOr<Fd> OpenEntry(const Fd& dir, const std::wstring& name, ACCESS_MASK access,
                             ULONG disposition, ULONG options) {
  UNICODE_STRING text{};
  text.Buffer = const_cast<wchar_t*>(name.data());  // not written to
  text.Length = static_cast<USHORT>(name.size() * sizeof(wchar_t));
  text.MaximumLength = text.Length;
  OBJECT_ATTRIBUTES object;
  InitializeObjectAttributes(&object, &text, OBJ_CASE_INSENSITIVE, dir.get(), nullptr);
  HANDLE handle = nullptr;
  IO_STATUS_BLOCK io{};
  const NTSTATUS status =
      NtCreateFile(&handle, access | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &object, &io, nullptr,
                   FILE_ATTRIBUTE_NORMAL, kShareAll, disposition,
                   options | FILE_OPEN_REPARSE_POINT | FILE_SYNCHRONOUS_IO_NONALERT |
                       FILE_OPEN_FOR_BACKUP_INTENT,
                   nullptr, 0);
  if (status >= 0) return Fd(handle);
  // As an error of Win32 it would be that of a right which is missing.
  const DWORD code =
      status == kDeletePending ? DWORD{ERROR_DELETE_PENDING} : RtlNtStatusToDosError(status);
  return FromCode(code, "cannot open", Narrow(name));
}

absl::StatusOr<Fd> OpenNamed(const Fd& dir, absl::string_view name, ACCESS_MASK access,
                             ULONG disposition, ULONG options) {
  if (!IsPlainWindowsName(name)) return error::FromErrno(EXDEV, "will not touch", name);
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring wide, ToWide(name));
  return OpenEntry(dir, wide, access, disposition, options);
}

absl::StatusOr<DWORD> Attributes(const Fd& fd, absl::string_view path) {
  FILE_BASIC_INFO info{};
  if (GetFileInformationByHandleEx(fd.get(), FileBasicInfo, &info, sizeof(info)) == 0)
    return LastError("cannot look at", path);
  return info.FileAttributes;
}

absl::StatusOr<std::vector<Entry>> ReadFolder(const Fd& dir) {
  // A handle of its own, for where it stands in the folder.
  VMKEEP_ASSIGN_OR_RETURN(const Fd again, OpenEntry(dir, L"", FILE_LIST_DIRECTORY, FILE_OPEN, 0));
  std::vector<Entry> entries;
  alignas(FILE_ID_BOTH_DIR_INFO) std::array<std::byte, kFolderBytes> buffer;
  while (GetFileInformationByHandleEx(again.get(), FileIdBothDirectoryInfo, buffer.data(),
                                      static_cast<DWORD>(buffer.size())) != 0) {
    for (const std::byte* at = buffer.data();;) {
      const auto* found = reinterpret_cast<const FILE_ID_BOTH_DIR_INFO*>(at);
      const std::wstring_view name(found->FileName, found->FileNameLength / sizeof(wchar_t));
      if (!IsDots(name)) entries.push_back({std::wstring(name), found->FileAttributes});
      if (found->NextEntryOffset == 0) break;
      at += found->NextEntryOffset;
    }
  }
  // Not found: a root that holds nothing.
  const DWORD code = GetLastError();
  if (code != ERROR_NO_MORE_FILES && code != ERROR_FILE_NOT_FOUND)
    return FromCode(code, "cannot read", "the folder");
  return entries;
}

absl::StatusOr<std::wstring> FinalPath(const Fd& fd) {
  // As it was opened: for the normalised name every folder on the way must be readable.
  constexpr DWORD kFlags = FILE_NAME_OPENED | VOLUME_NAME_DOS;
  std::wstring path(MAX_PATH, L'\0');
  while (true) {
    const DWORD size =
        GetFinalPathNameByHandleW(fd.get(), path.data(), static_cast<DWORD>(path.size()), kFlags);
    if (size == 0) return LastError("cannot tell the path of", "the folder");
    const bool fits = size < path.size();
    path.resize(size);
    if (fits) return path;
  }
}

absl::Status Remove(const Fd& fd, absl::string_view name) {
  std::optional<DWORD> code = Dispose(fd.get());
  if (code == DWORD{ERROR_ACCESS_DENIED} && ClearReadOnly(fd)) code = Dispose(fd.get());
  return code ? FromCode(*code, "cannot remove", name) : absl::OkStatus();
}

bool HasNothingToFlush(DWORD code) {
  return code == ERROR_INVALID_FUNCTION || code == ERROR_NOT_SUPPORTED;
}

}  // namespace vmkeep::fs::win32
