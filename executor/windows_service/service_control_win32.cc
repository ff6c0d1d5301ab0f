// Installing and removing the service: the service control manager from outside.
#include "common/clock.h"
#include "common/host/host.h"
#include "common/log.h"
#include "common/process/win32.h"
#include "common/status_macros.h"
#include "common/win32/text.h"
#include "executor/windows_service/errors.h"
#include "executor/windows_service/service.h"

#include <windows.h>
#include "absl/time/time.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

namespace vmkeep::executor {
namespace {

constexpr wchar_t kName[] = L"vmkeep-executor";
constexpr wchar_t kDisplayName[] = L"vmkeep executor";
constexpr wchar_t kDescription[] =
    L"Makes backups of the virtual machines of this Hyper-V host when the vmkeep controller asks "
    L"for them.";
constexpr absl::Duration kStopWithin = absl::Minutes(2);
constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr DWORD kRestartAfterMillis = 10'000;
constexpr DWORD kForgetFailuresAfterSeconds = 24 * 3600;
constexpr DWORD kPreshutdownMillis = 120'000;  // a drain's time before the machine goes down

struct CloseService {
  void operator()(SC_HANDLE handle) const { CloseServiceHandle(handle); }
};
using ServiceHandle = std::unique_ptr<std::remove_pointer_t<SC_HANDLE>, CloseService>;

absl::Status FromCode(const char* call, DWORD code) {
  switch (code) {
    case ERROR_ACCESS_DENIED:
      return error::ServiceRights();
    case ERROR_SERVICE_EXISTS:
    case ERROR_DUPLICATE_SERVICE_NAME:
      return error::ServiceExists();
    case ERROR_SERVICE_DOES_NOT_EXIST:
      return error::ServiceNotInstalled();
    case ERROR_SERVICE_MARKED_FOR_DELETE:
      return error::ServiceStillThere();
    default:
      return error::ServiceCallFailed(call, code);
  }
}

absl::StatusOr<ServiceHandle> OpenManager(DWORD rights) {
  ServiceHandle manager(OpenSCManagerW(nullptr, nullptr, rights));
  if (!manager) return FromCode("OpenSCManager", GetLastError());
  return manager;
}

absl::Status Configure(SC_HANDLE service, DWORD what, void* value) {
  if (ChangeServiceConfig2W(service, what, value)) return absl::OkStatus();
  const DWORD code = GetLastError();
  // A system that does not know this setting; every Windows Server of Hyper-V does.
  if (code == ERROR_INVALID_LEVEL || code == ERROR_CALL_NOT_IMPLEMENTED) {
    log::Warning("service_setting_unknown", {{"setting", what}});
    return absl::OkStatus();
  }
  return FromCode("ChangeServiceConfig2", code);
}

absl::Status ConfigureAll(SC_HANDLE service) {
  SERVICE_DESCRIPTIONW description = {const_cast<wchar_t*>(kDescription)};
  VMKEEP_RETURN_IF_ERROR(Configure(service, SERVICE_CONFIG_DESCRIPTION, &description));
  // After the services that start with the machine, so after VMMS and the network; no dependency on
  // VMMS: stopping that would stop us, and an executor without Hyper-V can say that it has none.
  SERVICE_DELAYED_AUTO_START_INFO delayed = {TRUE};
  VMKEEP_RETURN_IF_ERROR(Configure(service, SERVICE_CONFIG_DELAYED_AUTO_START_INFO, &delayed));
  std::array<SC_ACTION, 3> restart;
  restart.fill({SC_ACTION_RESTART, kRestartAfterMillis});
  SERVICE_FAILURE_ACTIONSW actions = {kForgetFailuresAfterSeconds, nullptr, nullptr,
                                      static_cast<DWORD>(restart.size()), restart.data()};
  VMKEEP_RETURN_IF_ERROR(Configure(service, SERVICE_CONFIG_FAILURE_ACTIONS, &actions));
  // Also after an end that was reported with an error, not only after a crash.
  SERVICE_FAILURE_ACTIONS_FLAG also_errors = {TRUE};
  VMKEEP_RETURN_IF_ERROR(Configure(service, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &also_errors));
  // So that keys and state can be given to "NT SERVICE\vmkeep-executor" alone, whatever account it
  // has. Unrestricted: a restricted one may write to nothing that is not given to it.
  SERVICE_SID_INFO sid = {SERVICE_SID_TYPE_UNRESTRICTED};
  VMKEEP_RETURN_IF_ERROR(Configure(service, SERVICE_CONFIG_SERVICE_SID_INFO, &sid));
  SERVICE_PRESHUTDOWN_INFO preshutdown = {kPreshutdownMillis};
  return Configure(service, SERVICE_CONFIG_PRESHUTDOWN_INFO, &preshutdown);
}

absl::StatusOr<DWORD> StateOf(SC_HANDLE service) {
  SERVICE_STATUS status = {};
  if (!QueryServiceStatus(service, &status)) return FromCode("QueryServiceStatus", GetLastError());
  return status.dwCurrentState;
}

// Windows tells of a change of state only by polling or by an APC; polling is what it advises.
absl::Status StopAndWait(SC_HANDLE service) {
  Clock& clock = RealClock();
  const absl::Duration until = clock.Monotonic() + kStopWithin;
  while (true) {
    VMKEEP_ASSIGN_OR_RETURN(const DWORD state, StateOf(service));
    if (state == SERVICE_STOPPED) return absl::OkStatus();
    SERVICE_STATUS status = {};
    // Again each time: one that is starting takes no controls yet.
    if (state != SERVICE_STOP_PENDING && !ControlService(service, SERVICE_CONTROL_STOP, &status)) {
      const DWORD code = GetLastError();
      if (code != ERROR_SERVICE_NOT_ACTIVE && code != ERROR_SERVICE_CANNOT_ACCEPT_CTRL) {
        return FromCode("ControlService", code);
      }
    }
    if (clock.Monotonic() >= until) return error::ServiceNotStopped(kStopWithin);
    clock.WaitFor(kPoll, {});
  }
}

}  // namespace

absl::Status InstallService(const std::vector<std::string>& flags) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string line, ServiceCommandLine(host::ProgramPath(), flags));
  const std::optional<std::wstring> wide = Widen(line);
  if (!wide) return error::ServiceCallFailed("MultiByteToWideChar", ERROR_NO_UNICODE_TRANSLATION);
  VMKEEP_ASSIGN_OR_RETURN(const ServiceHandle manager,
                          OpenManager(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE));
  const ServiceHandle service(CreateServiceW(
      manager.get(), kName, kDisplayName, SERVICE_CHANGE_CONFIG | SERVICE_START | DELETE,
      SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, wide->c_str(), nullptr,
      nullptr, nullptr, /*account: LocalSystem*/ nullptr, nullptr));
  if (!service) return FromCode("CreateService", GetLastError());
  absl::Status configured = ConfigureAll(service.get());
  if (!configured.ok()) DeleteService(service.get());  // whole or not at all
  return configured;
}

absl::Status UninstallService() {
  VMKEEP_ASSIGN_OR_RETURN(const ServiceHandle manager, OpenManager(SC_MANAGER_CONNECT));
  const ServiceHandle service(
      OpenServiceW(manager.get(), kName, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE));
  if (!service) return FromCode("OpenService", GetLastError());
  VMKEEP_RETURN_IF_ERROR(StopAndWait(service.get()));
  if (!DeleteService(service.get())) return FromCode("DeleteService", GetLastError());
  return absl::OkStatus();
}

}  // namespace vmkeep::executor
