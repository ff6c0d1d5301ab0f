#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/names.h"
#include "common/fs/win32.h"
#include "common/status_macros.h"
#include "common/win32/text.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <winternl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::fs {
namespace {

constexpr DWORD kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
constexpr ACCESS_MASK kReadFolder = FILE_LIST_DIRECTORY | FILE_TRAVERSE;
// FlushFileBuffers() of a folder asks for the right to write to it.
constexpr ACCESS_MASK kFlushFolder = kReadFolder | FILE_ADD_FILE;

absl::Time ToTime(FILETIME time) {
  // In units of 100 ns since 1601.
  constexpr int64_t kUnixEpoch = 116'444'736'000'000'000;
  const int64_t units =
      static_cast<int64_t>((static_cast<uint64_t>(time.dwHighDateTime) << 32) | time.dwLowDateTime);
  return absl::UnixEpoch() + (units - kUnixEpoch) * absl::Nanoseconds(100);
}

FileKind KindOf(DWORD attributes) {
  // Whatever it leads to, or stands for.
  if ((attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0) return FileKind::kLink;
  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) return FileKind::kFolder;
  return (attributes & FILE_ATTRIBUTE_DEVICE) != 0 ? FileKind::kOther : FileKind::kFile;
}

bool RefusesRight(const absl::Status& status) {
  const int err = error::Errno(status);
  return err == EACCES || err == EROFS || err == EBUSY;
}

// One folder below another one, no link. To flush it too, where we may.
absl::StatusOr<Fd> OpenOneDir(const Fd& dir, absl::string_view name) {
  absl::StatusOr<Fd> opened = win32::OpenNamed(dir, name, kFlushFolder, FILE_OPEN, 0);
  if (RefusesRight(opened.status()))
    opened = win32::OpenNamed(dir, name, kReadFolder, FILE_OPEN, 0);
  VMKEEP_RETURN_IF_ERROR(opened.status());
  VMKEEP_ASSIGN_OR_RETURN(const DWORD attributes, win32::Attributes(*opened, name));
  if (KindOf(attributes) == FileKind::kLink)
    return error::FromErrno(ELOOP, "will not follow the link", name);
  if (KindOf(attributes) != FileKind::kFolder)
    return error::FromErrno(ENOTDIR, "cannot open as a folder", name);
  return opened;
}

struct Place {
  Fd dir;
  std::string name;
};

// The folder that the path's last part is in.
absl::StatusOr<Place> FolderOf(const Fd& dir, const std::string& path) {
  if (absl::StartsWith(path, "/")) return error::FromErrno(EXDEV, "will not touch", path);
  std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  if (parts.empty()) return error::FromErrno(ENOENT, "cannot open", path);
  VMKEEP_ASSIGN_OR_RETURN(Fd at, win32::OpenEntry(dir, L"", kReadFolder, FILE_OPEN, 0));
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    VMKEEP_ASSIGN_OR_RETURN(at, OpenOneDir(at, parts[i]));
  }
  return Place{std::move(at), parts.back()};
}

absl::StatusOr<Fd> OpenPlainFile(const Fd& dir, const std::string& path, ACCESS_MASK access) {
  VMKEEP_ASSIGN_OR_RETURN(const Place place, FolderOf(dir, path));
  VMKEEP_ASSIGN_OR_RETURN(Fd file, win32::OpenNamed(place.dir, place.name, access, FILE_OPEN, 0));
  VMKEEP_ASSIGN_OR_RETURN(const DWORD attributes, win32::Attributes(file, path));
  if (KindOf(attributes) == FileKind::kLink)
    return error::FromErrno(ELOOP, "will not follow the link", path);
  if (KindOf(attributes) != FileKind::kFile) return error::NotPlain(path);
  return file;
}

// By an administrator's path; links are followed.
absl::StatusOr<Fd> OpenHost(const std::string& path, DWORD access) {
  VMKEEP_ASSIGN_OR_RETURN(std::wstring wide, win32::ToWide(path));
  std::replace(wide.begin(), wide.end(), L'/', L'\\');
  const HANDLE handle = CreateFileW(wide.c_str(), access, kShareAll, nullptr, OPEN_EXISTING,
                                    FILE_FLAG_BACKUP_SEMANTICS, nullptr);
  if (handle == INVALID_HANDLE_VALUE) return win32::LastError("cannot open", path);
  return Fd(handle);
}

// Of a path with a separator at its end, as a share's root must have.
absl::StatusOr<Space> SpaceOf(std::wstring path, absl::string_view said) {
  if (!path.empty() && path.back() != L'\\') path += L'\\';
  ULARGE_INTEGER for_us{};
  ULARGE_INTEGER total{};
  if (GetDiskFreeSpaceExW(path.c_str(), &for_us, &total, nullptr) == 0)
    return win32::LastError("cannot ask for the free space of", said);
  return Space{.total_bytes = static_cast<int64_t>(total.QuadPart),
               .free_bytes = static_cast<int64_t>(for_us.QuadPart)};
}

absl::StatusOr<std::wstring> PathOf(const Fd& dir, const std::string& name) {
  if (!IsPlainWindowsName(name)) return error::FromErrno(EXDEV, "will not touch", name);
  VMKEEP_ASSIGN_OR_RETURN(std::wstring path, win32::FinalPath(dir));
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring wide, win32::ToWide(name));
  if (path.empty() || path.back() != L'\\') path += L'\\';
  return path + wide;
}

}  // namespace

absl::StatusOr<Fd> OpenRoot(const std::string& path) {
  absl::StatusOr<Fd> opened = OpenHost(path, kFlushFolder | FILE_READ_ATTRIBUTES | SYNCHRONIZE);
  if (RefusesRight(opened.status()))
    opened = OpenHost(path, kReadFolder | FILE_READ_ATTRIBUTES | SYNCHRONIZE);
  VMKEEP_RETURN_IF_ERROR(opened.status());
  VMKEEP_ASSIGN_OR_RETURN(const DWORD attributes, win32::Attributes(*opened, path));
  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
    return error::FromErrno(ENOTDIR, "cannot open as a folder", path);
  return opened;
}

absl::StatusOr<Fd> OpenFile(const Fd& dir, const std::string& path) {
  return OpenPlainFile(dir, path, FILE_GENERIC_READ);
}

absl::StatusOr<Fd> OpenFileToFlush(const Fd& dir, const std::string& path) {
  return OpenPlainFile(dir, path, FILE_GENERIC_READ | FILE_WRITE_DATA);
}

absl::StatusOr<Fd> OpenDir(const Fd& dir, const std::string& path) {
  if (path == ".") {
    absl::StatusOr<Fd> opened = win32::OpenEntry(dir, L"", kFlushFolder, FILE_OPEN, 0);
    if (RefusesRight(opened.status())) return win32::OpenEntry(dir, L"", kReadFolder, FILE_OPEN, 0);
    return opened;
  }
  VMKEEP_ASSIGN_OR_RETURN(const Place place, FolderOf(dir, path));
  return OpenOneDir(place.dir, place.name);
}

absl::StatusOr<bool> MakeDir(const Fd& dir, const std::string& name, mode_t) {
  const absl::Status made =
      win32::OpenNamed(dir, name, FILE_LIST_DIRECTORY, FILE_CREATE, FILE_DIRECTORY_FILE).status();
  if (made.ok()) return true;
  if (error::Errno(made) == EEXIST) return false;
  return made;
}

absl::StatusOr<FileInfo> GetInfo(const Fd& fd, absl::string_view path) {
  BY_HANDLE_FILE_INFORMATION found{};
  FILE_STANDARD_INFO stored{};
  if (GetFileInformationByHandle(fd.get(), &found) == 0 ||
      GetFileInformationByHandleEx(fd.get(), FileStandardInfo, &stored, sizeof(stored)) == 0)
    return win32::LastError("cannot look at", path);
  FileInfo info;
  info.kind = KindOf(found.dwFileAttributes);
  info.bytes = stored.EndOfFile.QuadPart;
  info.stored_bytes = stored.AllocationSize.QuadPart;
  info.modified = ToTime(found.ftLastWriteTime);
  info.device = found.dwVolumeSerialNumber;
  info.inode = (static_cast<uint64_t>(found.nFileIndexHigh) << 32) | found.nFileIndexLow;
  info.names = found.nNumberOfLinks;
  return info;
}

absl::StatusOr<FileInfo> GetInfoBeneath(const Fd& dir, const std::string& name) {
  VMKEEP_ASSIGN_OR_RETURN(const Fd fd, win32::OpenNamed(dir, name, 0, FILE_OPEN, 0));
  return GetInfo(fd, name);
}

absl::StatusOr<FileInfo> GetHostInfo(const std::string& path) {
  VMKEEP_ASSIGN_OR_RETURN(const Fd fd, OpenHost(path, FILE_READ_ATTRIBUTES));
  return GetInfo(fd, path);
}

absl::StatusOr<size_t> ReadAt(const Fd& fd, int64_t offset, std::span<std::byte> into,
                              absl::string_view path) {
  size_t done = 0;
  while (done < into.size()) {
    const auto from = static_cast<uint64_t>(offset) + done;
    OVERLAPPED at{};
    at.Offset = static_cast<DWORD>(from);
    at.OffsetHigh = static_cast<DWORD>(from >> 32);
    DWORD got = 0;
    const auto step = static_cast<DWORD>(std::min(into.size() - done, win32::kMaxStepBytes));
    if (::ReadFile(fd.get(), into.data() + done, step, &got, &at) == 0) {
      if (GetLastError() == ERROR_HANDLE_EOF) break;
      return win32::LastError("cannot read", path);
    }
    if (got == 0) break;
    done += got;
  }
  return done;
}

// Windows takes such hints only when a file is opened.
void ForgetCached(const Fd&, int64_t, int64_t) {}
void DoNotReadAhead(const Fd&) {}

absl::Status Sync(const Fd& fd, absl::string_view path) {
  if (FlushFileBuffers(fd.get()) != 0) return absl::OkStatus();
  const DWORD code = GetLastError();
  const absl::StatusOr<DWORD> attributes = win32::Attributes(fd, path);
  const bool folder = attributes.ok() && (*attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  if (folder && win32::HasNothingToFlush(code)) return absl::OkStatus();
  return win32::FromCode(code, "cannot flush", path);
}

absl::Status Rename(const Fd& from_dir, const std::string& from, const Fd& to_dir,
                    const std::string& to) {
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring target, PathOf(to_dir, to));
  // Written through: the change of the name is on the disk when the call returns, as far as the
  // file system keeps its word (Microsoft, "File Caching").
  VMKEEP_ASSIGN_OR_RETURN(const Fd fd,
                          win32::OpenNamed(from_dir, from, DELETE, FILE_OPEN, FILE_WRITE_THROUGH));
  VMKEEP_ASSIGN_OR_RETURN(const DWORD attributes, win32::Attributes(fd, from));
  const size_t name_bytes = target.size() * sizeof(wchar_t);
  // Zeros to the end: what reads the name looks for one behind it.
  std::vector<uint64_t> buffer((sizeof(FILE_RENAME_INFO) + name_bytes) / sizeof(uint64_t) + 1);
  auto* info = reinterpret_cast<FILE_RENAME_INFO*>(buffer.data());
  info->ReplaceIfExists = (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0 ? TRUE : FALSE;
  info->RootDirectory = nullptr;
  info->FileNameLength = static_cast<DWORD>(name_bytes);
  std::memcpy(info->FileName, target.data(), name_bytes);
  if (SetFileInformationByHandle(fd.get(), FileRenameInfo, info,
                                 static_cast<DWORD>(sizeof(FILE_RENAME_INFO) + name_bytes)) == 0)
    return win32::LastError(absl::StrCat("cannot rename ", from, " to"), to);
  return absl::OkStatus();
}

absl::Status Link(const Fd& dir, const std::string& from, const std::string& to) {
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring existing, PathOf(dir, from));
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring second, PathOf(dir, to));
  if (CreateHardLinkW(second.c_str(), existing.c_str(), nullptr) == 0)
    return win32::LastError(absl::StrCat("cannot link ", from, " to"), to);
  return absl::OkStatus();
}

absl::Status RemoveIfEmpty(const Fd& dir, const std::string& name) {
  const absl::StatusOr<Fd> fd = win32::OpenNamed(dir, name, DELETE, FILE_OPEN, FILE_DIRECTORY_FILE);
  absl::Status status = fd.ok() ? win32::Remove(*fd, name) : fd.status();
  const int err = error::Errno(status);
  return err == ENOENT || err == ENOTEMPTY ? absl::OkStatus() : status;
}

absl::Status Unlink(const Fd& dir, const std::string& name) {
  const absl::StatusOr<Fd> fd =
      win32::OpenNamed(dir, name, DELETE, FILE_OPEN, FILE_NON_DIRECTORY_FILE);
  absl::Status status = fd.ok() ? win32::Remove(*fd, name) : fd.status();
  return error::Errno(status) == ENOENT ? absl::OkStatus() : status;
}

absl::StatusOr<bool> IsMountPoint(const Fd& dir) {
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring path, win32::FinalPath(dir));
  std::array<wchar_t, MAX_PATH> windows{};
  if (GetSystemWindowsDirectoryW(windows.data(), static_cast<UINT>(windows.size())) == 0)
    return win32::LastError("cannot tell the drive of", "Windows");
  const std::string system_drive = Narrow(std::wstring_view(windows.data(), 1));
  return IsRootOfMount(Narrow(path), system_drive[0]);
}

absl::StatusOr<Space> GetSpace(const Fd& dir) {
  VMKEEP_ASSIGN_OR_RETURN(std::wstring path, win32::FinalPath(dir));
  return SpaceOf(std::move(path), "the folder");
}

absl::StatusOr<Space> GetHostSpace(const std::string& path) {
  VMKEEP_ASSIGN_OR_RETURN(std::wstring wide, win32::ToWide(path));
  std::replace(wide.begin(), wide.end(), L'/', L'\\');
  return SpaceOf(std::move(wide), path);
}

absl::StatusOr<int64_t> BlockDeviceBytes(const std::string& path) {
  return absl::UnimplementedError(absl::StrCat(path, ": devices are not looked at on Windows"));
}

bool IsAbsolute(absl::string_view path) { return IsAbsoluteOnWindows(path); }

std::string Join(absl::string_view path, absl::string_view below) {
  return JoinOnWindows(path, below);
}

}  // namespace vmkeep::fs
