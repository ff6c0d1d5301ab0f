#ifndef VMKEEP_TESTS_SUPPORT_FAIL_SYSCALL_H_
#define VMKEEP_TESTS_SUPPORT_FAIL_SYSCALL_H_

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

// Makes the kernel fail a system call of this process, for good: for forked children (death tests)
// and for what they start. The code under test is the real one, without a seam.
namespace vmkeep::test {

inline void InstallFilter(int number, uint32_t action) {
  std::array<sock_filter, 4> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    std::abort();
  }
}

// Every call of `number` fails with `err`, in this process and in all it starts.
inline void FailSyscall(int number, int err) {
  InstallFilter(number, SECCOMP_RET_ERRNO | static_cast<uint32_t>(err));
}

inline volatile sig_atomic_t g_trapped_calls = 0;
inline volatile sig_atomic_t g_trapped_errno = 0;

// The same, counted: TrappedCalls() says how often it was tried. Not kept by what is started.
inline void TrapSyscall(int number, int err) {
  g_trapped_errno = err;
  struct sigaction action{};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int, siginfo_t*, void* context) {
    g_trapped_calls = g_trapped_calls + 1;
    auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    machine->gregs[REG_RAX] = -g_trapped_errno;
#elif defined(__aarch64__)
    machine->regs[0] = static_cast<uint64_t>(-g_trapped_errno);
#endif
  };
  sigaction(SIGSYS, &action, nullptr);
  InstallFilter(number, SECCOMP_RET_TRAP);
}
inline int TrappedCalls() { return g_trapped_calls; }

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_SUPPORT_FAIL_SYSCALL_H_
