#ifndef VMKEEP_TESTS_UNIT_VMKEEPCTL_CHILD_H_
#define VMKEEP_TESTS_UNIT_VMKEEPCTL_CHILD_H_

#include <sys/types.h>

#include <string>
#include <thread>
#include <vector>

namespace vmkeep::ctl {

struct ChildResult {
  int exit_code = -1;  // 128 + signal when a signal ended it
  std::string out;
  std::string err;
};

// A child process whose output is collected. With `terminal`, stderr and stdout are one terminal of
// 80 by 24, and all of it is in `out`.
class Child {
 public:
  Child(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
        bool terminal = false);
  ~Child();
  void Signal(int signal) const;
  ChildResult Wait();

 private:
  pid_t pid_ = -1;
  ChildResult result_;
  std::vector<std::thread> readers_;
};

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TESTS_UNIT_VMKEEPCTL_CHILD_H_
