#include "tests/unit/process/child.h"

#include <filesystem>

namespace vmkeep::process {

std::vector<std::string> Child(std::vector<std::string> arguments) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  arguments.insert(arguments.begin(), self.parent_path() / "vmkeep-test-child");
  return arguments;
}

}  // namespace vmkeep::process
