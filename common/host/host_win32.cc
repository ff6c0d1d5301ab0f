#include "common/host/host.h"
#include "common/win32/text.h"

#include <windows.h>

#include <string>

namespace vmkeep::host {

std::string Hostname() {
  // The DNS name's first label: it keeps its case and its length, which the NetBIOS name does not.
  DWORD length = 0;
  GetComputerNameExW(ComputerNamePhysicalDnsHostname, nullptr, &length);
  std::wstring name(length, L'\0');
  if (length == 0 ||
      GetComputerNameExW(ComputerNamePhysicalDnsHostname, name.data(), &length) == 0) {
    return "localhost";
  }
  name.resize(length);
  return Narrow(name);
}

std::string ProgramPath() {
  std::wstring path(MAX_PATH, L'\0');
  while (true) {
    const DWORD length = GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
    if (length < path.size()) return Narrow(std::wstring_view(path).substr(0, length));
    path.resize(path.size() * 2);  // it was cut
  }
}

}  // namespace vmkeep::host
