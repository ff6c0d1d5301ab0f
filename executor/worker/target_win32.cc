#include "common/fs/win32.h"
#include "common/win32/text.h"
#include "executor/worker/target.h"

#include <windows.h>
#include <winnetwk.h>

#include <array>
#include <string>

namespace vmkeep::worker {
namespace {

constexpr size_t kMaxText = 1024;  // of what is asked for here; longer is not told

DriveKind KindOf(const std::wstring& root) {
  switch (GetDriveTypeW(root.c_str())) {
    case DRIVE_NO_ROOT_DIR:
      return DriveKind::kMissing;
    case DRIVE_FIXED:
      return DriveKind::kFixed;
    case DRIVE_REMOTE:
      return DriveKind::kNetwork;
    case DRIVE_REMOVABLE:
    case DRIVE_CDROM:
    case DRIVE_RAMDISK:
      return DriveKind::kOther;
    default:
      return DriveKind::kUnknown;
  }
}

// The share of a drive: also that of a mapping which is remembered and not connected now.
std::string ShareOf(const std::wstring& drive) {
  std::array<wchar_t, kMaxText> text{};
  auto size = static_cast<DWORD>(text.size());
  const DWORD code = WNetGetConnectionW(drive.c_str(), text.data(), &size);
  if (code == NO_ERROR || code == ERROR_CONNECTION_UNAVAIL) return Narrow(text.data());
  std::array<std::byte, kMaxText> info{};
  auto info_size = static_cast<DWORD>(info.size());
  const std::wstring root = drive + L"\\";
  if (WNetGetUniversalNameW(root.c_str(), UNIVERSAL_NAME_INFO_LEVEL, info.data(), &info_size) !=
      NO_ERROR)
    return "";
  return Narrow(reinterpret_cast<const UNIVERSAL_NAME_INFOW*>(info.data())->lpUniversalName);
}

std::string FileSystemOf(const std::wstring& root) {
  std::array<wchar_t, MAX_PATH + 1> name{};
  if (GetVolumeInformationW(root.c_str(), nullptr, 0, nullptr, nullptr, nullptr, name.data(),
                            static_cast<DWORD>(name.size())) == 0)
    return "";
  return Narrow(name.data());
}

}  // namespace

Target LookAtTarget(const std::string& path) {
  const absl::StatusOr<std::wstring> wide = fs::win32::ToWide(path);
  if (!wide.ok() || wide->size() < 2) return {};
  TargetFacts facts;
  facts.path = path;
  std::array<wchar_t, MAX_PATH> windows{};
  if (GetSystemWindowsDirectoryW(windows.data(), static_cast<UINT>(windows.size())) != 0)
    facts.system_drive = static_cast<char>(windows[0]);
  if ((*wide)[1] != L':') {
    std::array<wchar_t, kMaxText> volume{};
    if (GetVolumePathNameW(wide->c_str(), volume.data(), static_cast<DWORD>(volume.size())) != 0)
      facts.file_system = FileSystemOf(volume.data());
    return DescribeTarget(facts);
  }
  const std::wstring drive = wide->substr(0, 2);
  const std::wstring root = drive + L"\\";
  facts.drive = KindOf(root);
  std::array<wchar_t, kMaxText> device{};
  if (QueryDosDeviceW(drive.c_str(), device.data(), static_cast<DWORD>(device.size())) != 0)
    facts.dos_device = Narrow(device.data());
  if (facts.drive == DriveKind::kNetwork || facts.drive == DriveKind::kMissing)
    facts.unc = ShareOf(drive);
  if (facts.drive != DriveKind::kMissing) facts.file_system = FileSystemOf(root);
  return DescribeTarget(facts);
}

}  // namespace vmkeep::worker
