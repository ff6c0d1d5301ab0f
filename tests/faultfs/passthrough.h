#ifndef VMKEEP_TESTS_FAULTFS_PASSTHROUGH_H_
#define VMKEEP_TESTS_FAULTFS_PASSTHROUGH_H_

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

#include "tests/faultfs/control.h"

#include <fuse3/fuse.h>

#include <cstdint>
#include <functional>
#include <string>

namespace vmkeep::faultfs {

// The calls of the file system: asks the control what is wrong, else does the same to the folder
// behind. Thread-safe.
class Passthrough {
 public:
  // `root`: an open folder. Both outlive this.
  Passthrough(int root, Control* control) : root_(root), control_(*control) {}

  // For fuse_new(), with a Passthrough as private data.
  static const fuse_operations& Operations();

  int root() const { return root_; }
  // Runs `call` (0 or more, or -errno) under the rule for it.
  int Do(const char* op, const std::string& path, const std::function<int()>& call,
         int64_t end = 0);

 private:
  static void Wait(const Control& control, const Rule& rule, const std::string& op,
                   const std::string& path, int64_t end);

  const int root_;
  Control& control_;
};

}  // namespace vmkeep::faultfs

#endif  // VMKEEP_TESTS_FAULTFS_PASSTHROUGH_H_
