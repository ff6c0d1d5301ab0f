#ifndef VMKEEP_COMMON_PROCESS_PIPE_WIN32_H_
#define VMKEEP_COMMON_PROCESS_PIPE_WIN32_H_

#include "common/process/win32.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <array>
#include <memory>
#include <string>

// Pipes to a child: our end overlapped, so that a wait for it can end early; the child's end plain
// and inheritable. Anonymous pipes are never overlapped, so these have a name: a random one, of the
// first and only instance, closed to other machines.
namespace vmkeep::process {

enum class PipeWay { kToChild, kFromChild };
absl::Status MakePipe(PipeWay way, Handle* ours, Handle* theirs);

// One transfer under way, with the buffer that the kernel may write until it has ended. When the
// thread that began it ends, Windows ends it too, as aborted: begin it again.
class Transfer {
 public:
  Transfer() : state_(std::make_unique<State>()) {}
  ~Transfer() { Cancel(); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  static constexpr size_t kBufferBytes = 64 << 10;

  // Signalled when it has ended.
  HANDLE event() const { return state_->event.get(); }
  bool pending() const { return pending_; }
  absl::string_view bytes(size_t count) const { return {state_->buffer.data(), count}; }

  // Begins to read into the buffer. A Windows error code; 0: it has begun, and has perhaps ended.
  DWORD BeginRead(HANDLE pipe);
  // Begins to write the first bytes of `bytes`, kBufferBytes at the most.
  DWORD BeginWrite(HANDLE pipe, absl::string_view bytes);
  // What became of it: ERROR_IO_INCOMPLETE while it is under way.
  DWORD Harvest(DWORD* count);
  // Ends it now. It is under way no more then, and what it had moved is in *count. 0, or
  // ERROR_OPERATION_ABORTED, or what it had failed with.
  DWORD Cancel(DWORD* count = nullptr);

 private:
  struct State {
    OVERLAPPED overlapped = {};
    Handle event{CreateEventW(nullptr, TRUE, FALSE, nullptr)};
    std::array<char, kBufferBytes> buffer;
  };
  void Reset();
  DWORD Begun(BOOL done);

  std::unique_ptr<State> state_;
  HANDLE pipe_ = nullptr;
  bool pending_ = false;
};

// The reading end of a pipe from a child. One read is always under way, also between two calls.
class PipeReader {
 public:
  explicit PipeReader(Handle pipe) : pipe_(std::move(pipe)) {}

  bool open() const { return static_cast<bool>(pipe_); }
  // Signalled when Take() has something; null at the end of the pipe.
  HANDLE event();
  // Appends what has come. 0, also when nothing has; at the end the pipe is not open() any more.
  DWORD Take(std::string* to);
  // The same for a writer that is gone: nothing that it had written is missed, although the kernel
  // may not have told us of it yet.
  DWORD TakeLast(std::string* to);

 private:
  DWORD Ended(DWORD error, DWORD count, std::string* to);

  Handle pipe_;
  Transfer read_;  // gone before the pipe
};

}  // namespace vmkeep::process

#endif  // VMKEEP_COMMON_PROCESS_PIPE_WIN32_H_
