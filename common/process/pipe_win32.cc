#include "common/process/pipe_win32.h"

#include "common/process/errors.h"
#include "common/uuid.h"
#include "common/win32/text.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cstring>

namespace vmkeep::process {
namespace {

constexpr DWORD kPipeBytes = 64 << 10;
// For a cancelled transfer to be given back. Pipes do that at once.
constexpr DWORD kReapMillis = 1000;

bool IsEnd(DWORD error) {
  return error == ERROR_BROKEN_PIPE || error == ERROR_HANDLE_EOF ||
         error == ERROR_PIPE_NOT_CONNECTED || error == ERROR_NO_DATA;
}

}  // namespace

absl::Status MakePipe(PipeWay way, Handle* ours, Handle* theirs) {
  const bool to_child = way == PipeWay::kToChild;
  const std::optional<std::wstring> name =
      Widen(absl::StrCat("\\\\.\\pipe\\vmkeep-", GetCurrentProcessId(), "-", NewUuid4()));
  *ours = Handle(
      CreateNamedPipeW(name->c_str(),
                       (to_child ? PIPE_ACCESS_OUTBOUND : PIPE_ACCESS_INBOUND) |
                           FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
                       PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                       1, kPipeBytes, kPipeBytes, 0, nullptr));
  if (!*ours) return error::System("CreateNamedPipe", GetLastError());
  SECURITY_ATTRIBUTES inheritable = {sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
  // The rights that an anonymous pipe's ends have.
  const DWORD rights =
      to_child ? GENERIC_READ | FILE_WRITE_ATTRIBUTES : GENERIC_WRITE | FILE_READ_ATTRIBUTES;
  *theirs = Handle(CreateFileW(name->c_str(), rights, 0, &inheritable, OPEN_EXISTING, 0, nullptr));
  if (!*theirs) return error::System("CreateFile of a pipe", GetLastError());
  return absl::OkStatus();
}

void Transfer::Reset() {
  state_->overlapped = {};
  state_->overlapped.hEvent = state_->event.get();
}

// A transfer that ended at once has set the event as one that ends later does.
DWORD Transfer::Begun(BOOL done) {
  const DWORD error = done ? ERROR_SUCCESS : GetLastError();
  pending_ = error == ERROR_SUCCESS || error == ERROR_IO_PENDING;
  return pending_ ? ERROR_SUCCESS : error;
}

DWORD Transfer::BeginRead(HANDLE pipe) {
  Reset();
  pipe_ = pipe;
  return Begun(ReadFile(pipe, state_->buffer.data(), kBufferBytes, nullptr, &state_->overlapped));
}

DWORD Transfer::BeginWrite(HANDLE pipe, absl::string_view bytes) {
  Reset();
  pipe_ = pipe;
  const size_t count = std::min(bytes.size(), kBufferBytes);
  std::memcpy(state_->buffer.data(), bytes.data(), count);
  return Begun(WriteFile(pipe, state_->buffer.data(), static_cast<DWORD>(count), nullptr,
                         &state_->overlapped));
}

DWORD Transfer::Harvest(DWORD* count) {
  *count = 0;
  if (GetOverlappedResult(pipe_, &state_->overlapped, count, FALSE)) {
    pending_ = false;
    return ERROR_SUCCESS;
  }
  const DWORD error = GetLastError();
  pending_ = error == ERROR_IO_INCOMPLETE;
  return error;
}

DWORD Transfer::Cancel(DWORD* count) {
  DWORD moved = 0;
  DWORD error = ERROR_SUCCESS;
  if (pending_) {
    CancelIoEx(pipe_, &state_->overlapped);
    WaitForSingleObject(state_->event.get(), kReapMillis);
    error = Harvest(&moved);
  }
  if (pending_) {
    // The kernel may still write there: the buffer is given up rather than given back.
    (void)state_.release();
    state_ = std::make_unique<State>();
    pending_ = false;
    error = ERROR_OPERATION_ABORTED;
  }
  if (count != nullptr) *count = moved;
  return error;
}

HANDLE PipeReader::event() {
  if (!pipe_) return nullptr;
  if (!read_.pending()) {
    // Its error is Take()'s to see: an event that is set, and no read under way.
    if (read_.BeginRead(pipe_.get()) != ERROR_SUCCESS) SetEvent(read_.event());
  }
  return read_.event();
}

DWORD PipeReader::Ended(DWORD error, DWORD count, std::string* to) {
  if (error == ERROR_SUCCESS) {
    const absl::string_view bytes = read_.bytes(count);
    to->append(bytes.data(), bytes.size());
    return ERROR_SUCCESS;
  }
  if (error == ERROR_IO_INCOMPLETE || error == ERROR_OPERATION_ABORTED) return ERROR_SUCCESS;
  pipe_.Close();
  return IsEnd(error) ? ERROR_SUCCESS : error;
}

DWORD PipeReader::Take(std::string* to) {
  if (!pipe_) return ERROR_SUCCESS;
  if (!read_.pending()) {
    if (const DWORD error = read_.BeginRead(pipe_.get()); error != ERROR_SUCCESS) {
      return Ended(error, 0, to);
    }
  }
  DWORD count = 0;
  const DWORD error = read_.Harvest(&count);
  return Ended(error, count, to);
}

DWORD PipeReader::TakeLast(std::string* to) {
  while (pipe_) {
    // One that was begun earlier may have been ended with its thread, and bytes came after that.
    const bool fresh = !read_.pending();
    if (fresh) {
      if (const DWORD error = read_.BeginRead(pipe_.get()); error != ERROR_SUCCESS) {
        return Ended(error, 0, to);
      }
    }
    DWORD count = 0;
    const DWORD error = read_.Cancel(&count);
    const DWORD ended = Ended(error, count, to);
    if (ended != ERROR_SUCCESS || (fresh && error != ERROR_SUCCESS)) return ended;
  }
  return ERROR_SUCCESS;
}

}  // namespace vmkeep::process
