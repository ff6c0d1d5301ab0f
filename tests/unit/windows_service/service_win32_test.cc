// The service through Windows' own service control manager: this machine's, so the test refuses to
// run where a service of this name is installed already.
#include "common/clock.h"
#include "common/process/process.h"
#include "tests/support/status_matchers.h"

#include <windows.h>
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using process::RunResult;
using process::RunToEnd;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kSoon = absl::Seconds(60);
constexpr wchar_t kName[] = L"vmkeep-executor";

std::string Folder() {
  std::string self(32767, '\0');
  self.resize(GetModuleFileNameA(nullptr, self.data(), 32767));
  return self.substr(0, self.rfind('\\') + 1);
}

RunResult Program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), Folder() + "vmkeep-test-service.exe");
  absl::StatusOr<RunResult> result = RunToEnd(arguments, kSoon);
  EXPECT_THAT(result, test::IsOk());
  return result.ok() ? *result : RunResult{};
}

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    manager_ = OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT);
    ASSERT_NE(manager_, nullptr);
    ASSERT_EQ(Open(), nullptr) << "a service of this name is installed";
    log_ = absl::StrCat(Folder(), "service test.log");
    DeleteFileA(log_.c_str());
  }
  void TearDown() override {
    Close();
    (void)Program({"service", "uninstall"});
    CloseServiceHandle(manager_);
  }
  SC_HANDLE Open() {
    service_ = OpenServiceW(manager_, kName,
                            SERVICE_START | SERVICE_STOP | SERVICE_QUERY_STATUS |
                                SERVICE_QUERY_CONFIG | SERVICE_INTERROGATE);
    return service_;
  }
  void Close() {
    if (service_ != nullptr) CloseServiceHandle(service_);
    service_ = nullptr;
  }
  void Install(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"service", "install", absl::StrCat("--log=", log_)});
    const RunResult result = Program(flags);
    ASSERT_EQ(result.exit_status.code, 0) << result.err;
    ASSERT_NE(Open(), nullptr);
  }
  // Also notes the checkpoints that it came by.
  SERVICE_STATUS WaitFor(DWORD state) {
    SERVICE_STATUS status = {};
    const absl::Time until = absl::Now() + kSoon;
    while (QueryServiceStatus(service_, &status) && status.dwCurrentState != state &&
           absl::Now() < until) {
      if (status.dwCurrentState == SERVICE_START_PENDING) checkpoints_.insert(status.dwCheckPoint);
      RealClock().WaitFor(absl::Milliseconds(20), {});
    }
    EXPECT_EQ(status.dwCurrentState, state);
    return status;
  }
  std::string Log() {
    std::ifstream file(log_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  SC_HANDLE manager_ = nullptr;
  SC_HANDLE service_ = nullptr;
  std::string log_;
  std::set<DWORD> checkpoints_;
};

TEST_F(ServiceTest, IsInstalledStartedStoppedAndRemoved) {
  Install({"--odd=it's; \u00e9 \"x y\\\""});
  ASSERT_TRUE(StartServiceW(service_, 0, nullptr)) << GetLastError();
  const SERVICE_STATUS running = WaitFor(SERVICE_RUNNING);
  EXPECT_NE(running.dwControlsAccepted & SERVICE_ACCEPT_STOP, 0u);
  SERVICE_STATUS status = {};
  EXPECT_TRUE(ControlService(service_, SERVICE_CONTROL_INTERROGATE, &status)) << GetLastError();
  EXPECT_EQ(status.dwCurrentState, static_cast<DWORD>(SERVICE_RUNNING));
  ASSERT_TRUE(ControlService(service_, SERVICE_CONTROL_STOP, &status)) << GetLastError();
  EXPECT_EQ(WaitFor(SERVICE_STOPPED).dwWin32ExitCode, 0u);
  EXPECT_EQ(Log(), absl::StrCat("flag [--log=", log_,
                                "]\nflag [--odd=it's; \u00e9 \"x y\\\"]\n"
                                "starting\nserving\nstopped\n"));
  Close();
  EXPECT_EQ(Program({"service", "uninstall"}).exit_status.code, 0);
  EXPECT_EQ(Open(), nullptr);
}

TEST_F(ServiceTest, StartsWithTheMachineAsLocalSystem) {
  Install({});
  std::vector<char> memory(8192);
  const auto config = reinterpret_cast<QUERY_SERVICE_CONFIGW*>(memory.data());
  DWORD needed = 0;
  ASSERT_TRUE(QueryServiceConfigW(service_, config, 8192, &needed));
  EXPECT_EQ(config->dwStartType, static_cast<DWORD>(SERVICE_AUTO_START));
  EXPECT_EQ(config->dwServiceType, static_cast<DWORD>(SERVICE_WIN32_OWN_PROCESS));
  EXPECT_EQ(std::wstring(config->lpServiceStartName), L"LocalSystem");
  const std::wstring line = config->lpBinaryPathName;
  EXPECT_EQ(line.front(), L'"');
  EXPECT_NE(line.find(L"vmkeep-test-service.exe\" service run \"--log="), std::wstring::npos);
}

TEST_F(ServiceTest, TwiceIsRefusedWithTheRemedy) {
  Install({});
  const RunResult again = Program({"service", "install"});
  EXPECT_EQ(again.exit_status.code, 1);
  EXPECT_THAT(again.err, AllOf(StartsWith("SERVICE_EXISTS: "), HasSubstr("uninstall")));
}

TEST_F(ServiceTest, AServeThatFailsIsAnEndWithItsCode) {
  Install({"--fail"});
  ASSERT_TRUE(StartServiceW(service_, 0, nullptr)) << GetLastError();
  const SERVICE_STATUS status = WaitFor(SERVICE_STOPPED);
  EXPECT_EQ(status.dwWin32ExitCode, static_cast<DWORD>(ERROR_SERVICE_SPECIFIC_ERROR));
  EXPECT_EQ(status.dwServiceSpecificExitCode, 14u);  // absl::StatusCode::kUnavailable
}

TEST_F(ServiceTest, ASlowStartShowsCheckpoints) {
  Install({"--slow"});
  ASSERT_TRUE(StartServiceW(service_, 0, nullptr)) << GetLastError();
  WaitFor(SERVICE_RUNNING);
  EXPECT_TRUE(checkpoints_.contains(1));
  EXPECT_TRUE(checkpoints_.contains(2));
}

TEST_F(ServiceTest, RemovingStopsItFirst) {
  Install({});
  ASSERT_TRUE(StartServiceW(service_, 0, nullptr)) << GetLastError();
  WaitFor(SERVICE_RUNNING);
  Close();
  const RunResult removed = Program({"service", "uninstall"});
  EXPECT_EQ(removed.exit_status.code, 0) << removed.err;
  EXPECT_THAT(Log(), HasSubstr("stopped\n"));
  EXPECT_EQ(Open(), nullptr);
}

TEST_F(ServiceTest, WhatIsNotThereIsNotRemoved) {
  const RunResult result = Program({"service", "uninstall"});
  EXPECT_EQ(result.exit_status.code, 1);
  EXPECT_THAT(result.err, StartsWith("SERVICE_NOT_INSTALLED: "));
}

TEST_F(ServiceTest, FromAConsoleItIsNoService) {
  const RunResult result = Program({"service", "run", absl::StrCat("--log=", log_)});
  EXPECT_EQ(result.exit_status.code, 1);
  EXPECT_THAT(result.err, AllOf(StartsWith("NOT_A_SERVICE: "), HasSubstr("net start")));
  EXPECT_EQ(Log(), "");
}

TEST_F(ServiceTest, AConsoleEventRequestsTheStop) {
  const RunResult result = Program({"console"});
  if (result.exit_status.code == 4) GTEST_SKIP() << "this system makes no console events: wine";
  EXPECT_EQ(result.exit_status.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("stopped"));
}

}  // namespace
}  // namespace vmkeep::executor
