#include "executor/worker/stdio.h"

#include <windows.h>

#include <algorithm>

namespace vmkeep::worker {
namespace {

constexpr size_t kMaxStepBytes = size_t{1} << 20;  // far below what a DWORD holds

}  // namespace

Stdio PrepareStdio() {
  // No box for a person to click away in a service's session, whatever a disk or a crash has to
  // say.
  SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
  return {.in = GetStdHandle(STD_INPUT_HANDLE), .out = GetStdHandle(STD_OUTPUT_HANDLE)};
}

fs::Fd Duplicate(fs::NativeFd stream) {
  HANDLE copy = INVALID_HANDLE_VALUE;
  if (DuplicateHandle(GetCurrentProcess(), stream, GetCurrentProcess(), &copy, 0, FALSE,
                      DUPLICATE_SAME_ACCESS) == 0)
    return {};
  return fs::Fd(copy);
}

size_t ReadSome(fs::NativeFd in, std::span<char> into) {
  DWORD got = 0;
  // A write of no bytes into a pipe is a read of none, and no end (ReadFile, "Pipes").
  while (!into.empty()) {
    if (ReadFile(in, into.data(), static_cast<DWORD>(std::min(into.size(), kMaxStepBytes)), &got,
                 nullptr) == 0)
      return 0;
    if (got > 0 || GetFileType(in) != FILE_TYPE_PIPE) return got;
  }
  return 0;
}

bool WriteAll(fs::NativeFd out, absl::string_view text) {
  while (!text.empty()) {
    DWORD put = 0;
    if (WriteFile(out, text.data(), static_cast<DWORD>(std::min(text.size(), kMaxStepBytes)), &put,
                  nullptr) == 0)
      return false;
    text.remove_prefix(put);
  }
  return true;
}

void EndProcess(int status) {
  // Not ExitProcess(): it runs what DLLs do at the end, and a thread that hangs may hold a lock of
  // theirs.
  TerminateProcess(GetCurrentProcess(), static_cast<UINT>(status));
  for (;;) Sleep(INFINITE);
}

}  // namespace vmkeep::worker
