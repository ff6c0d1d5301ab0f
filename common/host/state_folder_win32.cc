#include "common/error.h"
#include "common/fs/win32.h"
#include "common/host/errors.h"
#include "common/host/state_folder.h"
#include "common/status_macros.h"
#include "common/win32/text.h"

#include <windows.h>
#include "absl/strings/str_cat.h"
#include <sddl.h>

#include <memory>
#include <string>

namespace vmkeep::host {
namespace {

// Full access for SYSTEM, Administrators and the owner, for the folder and all below it; P: nothing
// is inherited, for C:\ProgramData lets every user read. [MS-DTYP] 2.5.1 is the language.
constexpr wchar_t kOwnerOnly[] = L"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

class Security {
 public:
  Security() {
    if (ConvertStringSecurityDescriptorToSecurityDescriptorW(kOwnerOnly, SDDL_REVISION_1,
                                                             &descriptor_, nullptr) == 0) {
      descriptor_ = nullptr;
    }
    attributes_.nLength = sizeof(attributes_);
    attributes_.lpSecurityDescriptor = descriptor_;
  }
  ~Security() { LocalFree(descriptor_); }
  Security(const Security&) = delete;
  Security& operator=(const Security&) = delete;

  // Null never goes to the system: it would mean "as the folder above".
  SECURITY_ATTRIBUTES* attributes() { return descriptor_ == nullptr ? nullptr : &attributes_; }

 private:
  PSECURITY_DESCRIPTOR descriptor_ = nullptr;
  SECURITY_ATTRIBUTES attributes_ = {};
};

using fs::win32::LastError;

absl::StatusOr<fs::Fd> Open(const std::string& path, DWORD access, DWORD share, DWORD how) {
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring wide, fs::win32::ToWide(path));
  Security security;
  if (security.attributes() == nullptr) return LastError("cannot describe who may open", path);
  fs::Fd file(CreateFileW(wide.c_str(), access, share, security.attributes(), how,
                          FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file.valid()) return LastError("cannot open", path);
  return file;
}

}  // namespace

absl::Status MakeStateFolder(const std::string& path) {
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring wide, fs::win32::ToWide(path));
  Security security;
  if (security.attributes() == nullptr) return LastError("cannot describe who may open", path);
  // Each part in turn, the drive's root aside; one that is there is no error.
  for (size_t end = wide.find_first_of(L"\\/", 3); true;
       end = wide.find_first_of(L"\\/", end + 1)) {
    const std::wstring part = wide.substr(0, end);
    if (CreateDirectoryW(part.c_str(), security.attributes()) == 0 &&
        GetLastError() != ERROR_ALREADY_EXISTS) {
      return LastError("cannot make the folder", Narrow(part));
    }
    if (end == std::wstring::npos) return absl::OkStatus();
  }
}

absl::StatusOr<fs::Fd> LockStateFolder(const std::string& path) {
  // Shared with nobody: the second open fails until the first handle is closed, by us or by our
  // end.
  absl::StatusOr<fs::Fd> lock =
      Open(path + "\\lock", GENERIC_READ | GENERIC_WRITE, /*share=*/0, OPEN_ALWAYS);
  if (!lock.ok() && ErrorDetails(lock.status())["win32"] == absl::StrCat(ERROR_SHARING_VIOLATION))
    return error::StateFolderInUse(path);
  return lock;
}

absl::Status MakePrivateFile(const std::string& path) {
  return Open(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, OPEN_ALWAYS).status();
}

absl::Status AllocateFile(const std::string& path, int64_t bytes) {
  absl::Status status;
  {
    VMKEEP_ASSIGN_OR_RETURN(const fs::Fd file, Open(path, GENERIC_WRITE, 0, CREATE_ALWAYS));
    LARGE_INTEGER end = {};
    end.QuadPart = bytes;
    // The end of a file that is not sparse takes its clusters at once.
    if (SetFilePointerEx(file.get(), end, nullptr, FILE_BEGIN) == 0 ||
        SetEndOfFile(file.get()) == 0) {
      status = LastError("cannot allocate", path);
    }
  }
  if (!status.ok()) {
    const absl::StatusOr<std::wstring> wide = fs::win32::ToWide(path);
    if (wide.ok()) DeleteFileW(wide->c_str());
  }
  return status;
}

}  // namespace vmkeep::host
