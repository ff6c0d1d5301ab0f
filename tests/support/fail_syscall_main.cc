// vmkeep-fail-syscall NUMBER ERRNO PROGRAM [ARGUMENT...]: runs a program whose system call NUMBER
// always fails.
#include "tests/support/fail_syscall.h"

#include <unistd.h>

#include <cstdlib>

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  vmkeep::test::FailSyscall(std::atoi(argv[1]), std::atoi(argv[2]));
  execvp(argv[3], argv + 3);
  return 127;
}
