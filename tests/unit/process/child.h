#ifndef VMKEEP_TESTS_UNIT_PROCESS_CHILD_H_
#define VMKEEP_TESTS_UNIT_PROCESS_CHILD_H_

#include "common/process/process.h"

#include "absl/time/time.h"

#include <string>
#include <vector>

namespace vmkeep::process {

// Far above what is needed: a limit, not a pace.
constexpr absl::Duration kSoon = absl::Seconds(20);

// The command of child.cc, which lies beside the test.
std::vector<std::string> Child(std::vector<std::string> arguments);

// All of its stdout from here on.
inline std::string ReadAll(ChildProcess* child) {
  std::string all;
  while (true) {
    const absl::StatusOr<ChildProcess::Output> output = child->ReadSome(kSoon);
    if (!output.ok() || output->bytes.empty()) return all;
    all += output->bytes;
  }
}

}  // namespace vmkeep::process

#endif  // VMKEEP_TESTS_UNIT_PROCESS_CHILD_H_
