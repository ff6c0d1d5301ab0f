#ifndef VMKEEP_TESTS_FAULTFS_CONTROL_H_
#define VMKEEP_TESTS_FAULTFS_CONTROL_H_

#include "common/mutex.h"

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace vmkeep::faultfs {

// One line of the control file; main.cc says what the words mean.
struct Rule {
  enum class Fault { kError, kHang, kStuck };
  std::string operation;  // or "*"
  std::string path_part;  // or "*"
  Fault fault = Fault::kError;
  int err = 0;         // of kError
  bool after = false;  // the operation is carried out first
  int64_t from = 0;    // of reads and writes: only beyond this offset

  bool Fits(const std::string& op, const std::string& path, int64_t end) const;
};

// The rules as the control file says now, and the log of what was asked of the file system.
// Thread-safe.
class Control {
 public:
  Control(std::string control_path, std::FILE* log)
      : control_path_(std::move(control_path)), log_(log) {}

  // The rule for this call; fault kError with err 0 when there is none. `end`: offset + length.
  // Ends the process when the control file cannot be understood: a test must not run on other
  // faults than it meant.
  Rule Find(const std::string& op, const std::string& path, int64_t end) const;

  // "OPERATION PATH RESULT"; RESULT is ok, an errno's name, hang, or stuck.
  void Log(const std::string& op, const std::string& path, const std::string& result)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  std::vector<Rule> Rules() const;

  const std::string control_path_;
  Mutex mu_;
  std::FILE* const log_ ABSL_PT_GUARDED_BY(mu_);
};

// "EIO"; the number for one that has no name here.
std::string ErrnoName(int err);

}  // namespace vmkeep::faultfs

#endif  // VMKEEP_TESTS_FAULTFS_CONTROL_H_
