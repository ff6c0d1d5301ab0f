#include "common/host/host.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>
#include <system_error>

namespace vmkeep::host {

std::string Hostname() {
  std::array<char, HOST_NAME_MAX + 1> name = {};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::string ProgramPath() {
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? "" : self.string();
}

}  // namespace vmkeep::host
