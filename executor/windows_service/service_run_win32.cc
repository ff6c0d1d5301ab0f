// Running as the service: what the service control manager calls in us.
#include "common/mutex.h"
#include "executor/windows_service/errors.h"
#include "executor/windows_service/service.h"

#include <windows.h>
#include "absl/time/time.h"

#include <optional>
#include <thread>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr wchar_t kName[] = L"vmkeep-executor";
constexpr DWORD kWaitHintMillis = 10'000;
// A new checkpoint well before Windows gives up on the last one, and how many in one state: five
// minutes in all. A start or a stop that hangs must not look alive for ever.
constexpr absl::Duration kCheckpointEvery = absl::Seconds(5);
constexpr int kMaxCheckpoints = 60;

using Serve = std::function<absl::Status(std::stop_token stop, std::function<void()> ready)>;

// The one service of this process. Thread-safe: Windows' thread brings the controls, another
// serves, a third ticks.
class Service {
 public:
  explicit Service(const Serve& serve) : serve_(serve) {}

  // In the thread that Windows makes for a service.
  void Main() {
    handle_ = RegisterServiceCtrlHandlerExW(kName, &Service::OnControl, this);
    if (handle_ == nullptr) {
      result_ = error::ServiceCallFailed("RegisterServiceCtrlHandlerEx", GetLastError());
      return;
    }
    Enter(SERVICE_START_PENDING);
    {
      const std::jthread ticker([this](const std::stop_token& end) { Tick(end); });
      result_ = serve_(stop_.get_token(), [this] { OnReady(); });
    }
    Enter(SERVICE_STOPPED);
  }

  absl::Status result() const { return result_; }

 private:
  static DWORD WINAPI OnControl(DWORD control, DWORD, void*, void* self) {
    switch (control) {
      case SERVICE_CONTROL_STOP:
      case SERVICE_CONTROL_PRESHUTDOWN:
      case SERVICE_CONTROL_SHUTDOWN:
        static_cast<Service*>(self)->OnStop();
        return NO_ERROR;
      case SERVICE_CONTROL_INTERROGATE:
        return NO_ERROR;
      default:
        return ERROR_CALL_NOT_IMPLEMENTED;
    }
  }

  void OnReady() {
    MutexLock lock(&mu_);
    if (state_ == SERVICE_START_PENDING) Report(SERVICE_RUNNING);
  }

  void OnStop() {
    Enter(SERVICE_STOP_PENDING);
    stop_.request_stop();
  }

  void Enter(DWORD state) {
    MutexLock lock(&mu_);
    Report(state);
  }

  void Report(DWORD state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool pending = state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING;
    checkpoint_ = pending && state == state_ ? checkpoint_ + 1 : (pending ? 1 : 0);
    state_ = state;
    SERVICE_STATUS status = {};
    status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
    status.dwCurrentState = state;
    if (state == SERVICE_RUNNING) {
      status.dwControlsAccepted =
          SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN | SERVICE_ACCEPT_SHUTDOWN;
    }
    status.dwCheckPoint = checkpoint_;
    status.dwWaitHint = pending ? kWaitHintMillis : 0;
    if (state == SERVICE_STOPPED && !result_.ok()) {
      status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
      status.dwServiceSpecificExitCode = static_cast<DWORD>(result_.raw_code());
    }
    SetServiceStatus(handle_, &status);
  }

  void Tick(const std::stop_token& end) ABSL_LOCKS_EXCLUDED(mu_) {
    const std::stop_callback wake(end, [this] {
      MutexLock lock(&mu_);
      tick_.NotifyAll();
    });
    MutexLock lock(&mu_);
    while (!end.stop_requested()) {
      tick_.WaitFor(&mu_, kCheckpointEvery);
      if (end.stop_requested()) return;
      const bool pending = state_ == SERVICE_START_PENDING || state_ == SERVICE_STOP_PENDING;
      if (pending && checkpoint_ < kMaxCheckpoints) Report(state_);
    }
  }

  const Serve& serve_;
  std::stop_source stop_;
  SERVICE_STATUS_HANDLE handle_ = nullptr;
  absl::Status result_;  // before SERVICE_STOPPED
  Mutex mu_;
  CondVar tick_;
  DWORD state_ ABSL_GUARDED_BY(mu_) = SERVICE_STOPPED;
  DWORD checkpoint_ ABSL_GUARDED_BY(mu_) = 0;
};

// Windows calls a function without a context.
Service* the_service = nullptr;

void WINAPI ServiceMain(DWORD, wchar_t**) { the_service->Main(); }

std::stop_source& ConsoleStop() {
  static auto* const source = new std::stop_source();  // a handler may run as we end
  return *source;
}

BOOL WINAPI OnConsoleEvent(DWORD event) {
  ConsoleStop().request_stop();
  // After these two kinds Windows ends the process as soon as the handler returns: it stays here,
  // and the process ends with main(), or when Windows' patience does.
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(INFINITE);
  return TRUE;
}

}  // namespace

absl::Status RunService(const Serve& serve) {
  static Mutex mu;
  static bool once = false;
  {
    MutexLock lock(&mu);
    if (std::exchange(once, true)) return error::NotAService();
  }
  Service service(serve);
  the_service = &service;
  wchar_t name[] = L"vmkeep-executor";
  SERVICE_TABLE_ENTRYW table[] = {{name, &ServiceMain}, {nullptr, nullptr}};
  if (!StartServiceCtrlDispatcherW(table)) {
    const DWORD code = GetLastError();
    if (code == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) return error::NotAService();
    return error::ServiceCallFailed("StartServiceCtrlDispatcher", code);
  }
  return service.result();
}

std::stop_token StopOnConsoleEvents() {
  static const bool set = SetConsoleCtrlHandler(&OnConsoleEvent, TRUE) != 0;
  (void)set;
  return ConsoleStop().get_token();
}

}  // namespace vmkeep::executor
