#include "tests/unit/process/child.h"

#include <windows.h>

namespace vmkeep::process {

std::vector<std::string> Child(std::vector<std::string> arguments) {
  std::string self(32767, '\0');
  self.resize(GetModuleFileNameA(nullptr, self.data(), 32767));
  self.resize(self.rfind('\\') + 1);
  arguments.insert(arguments.begin(), self + "vmkeep-test-child.exe");
  return arguments;
}

}  // namespace vmkeep::process
