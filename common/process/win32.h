#ifndef VMKEEP_COMMON_PROCESS_WIN32_H_
#define VMKEEP_COMMON_PROCESS_WIN32_H_

#include <windows.h>
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <optional>
#include <stop_token>
#include <string>
#include <utility>

// Small things of Windows that common/process needs in several files.
namespace vmkeep::process {

// A kernel handle that closes itself. Both values that Windows uses for "none" are none.
class Handle {
 public:
  Handle() = default;
  explicit Handle(HANDLE handle) : handle_(handle == INVALID_HANDLE_VALUE ? nullptr : handle) {}
  ~Handle() { Close(); }
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  HANDLE get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }
  void Close() {
    if (handle_ != nullptr) CloseHandle(handle_);
    handle_ = nullptr;
  }

 private:
  HANDLE handle_ = nullptr;
};

// For WaitFor...Object(): at least `left`, a day at the most; the callers wait in a loop.
DWORD WaitMillis(absl::Duration left);

// Makes a stop visible to WaitForMultipleObjects().
class StopEvent {
 public:
  explicit StopEvent(const std::stop_token& stop)
      : event_(stop.stop_possible() ? CreateEventW(nullptr, TRUE, FALSE, nullptr) : nullptr),
        callback_(stop, Ring{event_.get()}) {}
  StopEvent(const StopEvent&) = delete;
  StopEvent& operator=(const StopEvent&) = delete;
  HANDLE get() const { return event_.get(); }  // null: it cannot be stopped

 private:
  struct Ring {
    HANDLE event;
    void operator()() const {
      if (event != nullptr) SetEvent(event);
    }
  };
  Handle event_;
  // Declared last, so gone first: nobody rings a handle that is closed, or another's by now.
  std::stop_callback<Ring> callback_;
};

}  // namespace vmkeep::process

#endif  // VMKEEP_COMMON_PROCESS_WIN32_H_
