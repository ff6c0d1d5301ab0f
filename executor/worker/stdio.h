#ifndef VMKEEP_EXECUTOR_WORKER_STDIO_H_
#define VMKEEP_EXECUTOR_WORKER_STDIO_H_

#include "common/fs/fd.h"

#include "absl/strings/string_view.h"

#include <cstddef>
#include <span>

// The process's two streams, mostly pipes, and its end, as the operating system has them. Both
// calls block; any thread may make them, one a stream at a time.
namespace vmkeep::worker {

struct Stdio {
  fs::NativeFd in;
  fs::NativeFd out;
};
// The process's own. From here on a reader that is gone is a failed write and no signal, and new
// files are for this user alone where the system asks that of a process.
Stdio PrepareStdio();

// A handle of one's own on such a stream, which outlives the other.
fs::Fd Duplicate(fs::NativeFd stream);
// What there is, at least one byte; 0 at the end, and when the stream is of no use.
size_t ReadSome(fs::NativeFd in, std::span<char> into);
// All of it. False when the reader is gone.
bool WriteAll(fs::NativeFd out, absl::string_view text);

// Ends the process under whatever its threads are in.
[[noreturn]] void EndProcess(int status);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_STDIO_H_
