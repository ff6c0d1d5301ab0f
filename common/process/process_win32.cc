// Child processes of Windows. Numbers and rules of Microsoft's documentation of CreateProcessW, job
// objects and named pipes; see docs/adr/0075.
#include "common/process/command_line.h"
#include "common/process/deadline.h"
#include "common/process/errors.h"
#include "common/process/pipe_win32.h"
#include "common/process/process.h"
#include "common/process/win32.h"
#include "common/status_macros.h"
#include "common/win32/text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace vmkeep::process {
namespace {

// How long the destructor waits for a killed child.
constexpr absl::Duration kDestructorWait = absl::Milliseconds(200);
constexpr size_t kMaxCommandLine = 32766;  // UTF-16 units, of CreateProcessW

uint64_t ToNumber(const FILETIME& time) {
  return (static_cast<uint64_t>(time.dwHighDateTime) << 32) | time.dwLowDateTime;
}

// --- the program --------------------------------------------------------------------------------

absl::StatusOr<std::wstring> FullPath(absl::string_view program, const std::wstring& name) {
  std::wstring path(MAX_PATH, L'\0');
  while (true) {
    const DWORD size = static_cast<DWORD>(path.size());
    const DWORD got = GetFullPathNameW(name.c_str(), size, path.data(), nullptr);
    if (got == 0) return error::NotStarted(program, GetLastError());
    path.resize(got);
    if (got < size) return path;
  }
}

// In the folders of %PATH% and nowhere else: by itself, Windows also looks into the current one.
absl::StatusOr<std::wstring> FindInPath(absl::string_view program, const std::wstring& name) {
  std::wstring folders(32767, L'\0');
  folders.resize(GetEnvironmentVariableW(L"PATH", folders.data(), 32767));
  std::wstring path(MAX_PATH, L'\0');
  while (!folders.empty()) {
    const DWORD size = static_cast<DWORD>(path.size());
    const DWORD got =
        SearchPathW(folders.c_str(), name.c_str(), L".exe", size, path.data(), nullptr);
    if (got == 0) break;
    path.resize(got);
    if (got < size) return path;
  }
  return error::NotStarted(program, "it is in no folder of %PATH%", ERROR_FILE_NOT_FOUND);
}

absl::StatusOr<std::wstring> FindProgram(const std::string& program) {
  const std::string lower = absl::AsciiStrToLower(program);
  if (absl::EndsWith(lower, ".bat") || absl::EndsWith(lower, ".cmd")) {
    return error::NotStarted(program, "a batch file is read by a shell", ERROR_BAD_EXE_FORMAT);
  }
  const std::optional<std::wstring> name = Widen(program);
  if (!name || name->empty()) {
    return error::NotStarted(program, "its name is no UTF-8, or empty", ERROR_INVALID_NAME);
  }
  if (name->find_first_of(L"\\/:") == std::wstring::npos) return FindInPath(program, *name);
  return FullPath(program, *name);
}

// --- the environment ----------------------------------------------------------------------------

// The names of Windows' own entries, "=C:=C:\folder", begin with the first '='.
std::wstring NameOf(const std::wstring& entry) { return entry.substr(0, entry.find(L'=', 1)); }

int CompareNames(const std::wstring& a, const std::wstring& b) {
  return CompareStringOrdinal(a.data(), static_cast<int>(a.size()), b.data(),
                              static_cast<int>(b.size()), TRUE) -
         CSTR_EQUAL;
}

std::vector<std::wstring> OurEnvironment() {
  std::vector<std::wstring> entries;
  wchar_t* const block = GetEnvironmentStringsW();
  for (const wchar_t* at = block; at != nullptr && *at != L'\0'; at += entries.back().size() + 1) {
    entries.emplace_back(at);
  }
  if (block != nullptr) FreeEnvironmentStringsW(block);
  return entries;
}

// Entries that end with a NUL each, sorted by name without case, as Windows wants them.
absl::StatusOr<std::wstring> Environment(const ProcessSpec& spec) {
  std::vector<std::wstring> entries = OurEnvironment();
  for (const auto& [name, value] : spec.environment) {
    const std::optional<std::wstring> wide_name = Widen(name);
    const std::optional<std::wstring> wide_value = Widen(value);
    if (!wide_name || !wide_value || wide_name->empty()) {
      return error::NotStarted(spec.argv[0], "an environment variable is no UTF-8",
                               ERROR_INVALID_PARAMETER);
    }
    std::erase_if(entries, [&](const std::wstring& entry) {
      return CompareNames(NameOf(entry), *wide_name) == 0;
    });
    entries.push_back(*wide_name + L"=" + *wide_value);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return CompareNames(NameOf(a), NameOf(b)) < 0;
  });
  std::wstring block;
  for (const std::wstring& entry : entries) block.append(entry).push_back(L'\0');
  if (block.empty()) block.push_back(L'\0');
  block.push_back(L'\0');
  return block;
}

// --- the start ----------------------------------------------------------------------------------

Handle OpenNull(DWORD rights) {
  SECURITY_ATTRIBUTES inheritable = {sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
  return Handle(CreateFileW(L"NUL", rights, FILE_SHARE_READ | FILE_SHARE_WRITE, &inheritable,
                            OPEN_EXISTING, 0, nullptr));
}

// Ours, or NUL where we have none: a service.
Handle OurStderr() {
  const HANDLE process = GetCurrentProcess();
  HANDLE copy = nullptr;
  const HANDLE ours = GetStdHandle(STD_ERROR_HANDLE);
  if (ours == nullptr || ours == INVALID_HANDLE_VALUE ||
      !DuplicateHandle(process, ours, process, &copy, 0, TRUE, DUPLICATE_SAME_ACCESS)) {
    return OpenNull(GENERIC_WRITE);
  }
  return Handle(copy);
}

// The three handles of a child, and the list which says that it gets no others.
class Startup {
 public:
  Startup(HANDLE in, HANDLE out, HANDLE err) : handles_{in, out, err} {
    info_.StartupInfo.cb = sizeof(info_);
    info_.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    info_.StartupInfo.hStdInput = in;
    info_.StartupInfo.hStdOutput = out;
    info_.StartupInfo.hStdError = err;
  }
  ~Startup() {
    if (info_.lpAttributeList != nullptr) DeleteProcThreadAttributeList(info_.lpAttributeList);
  }
  Startup(const Startup&) = delete;
  Startup& operator=(const Startup&) = delete;

  absl::Status Prepare() {
    SIZE_T size = 0;
    InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
    memory_.resize(size);
    const auto list = reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.data());
    if (!InitializeProcThreadAttributeList(list, 1, 0, &size)) {
      return error::System("InitializeProcThreadAttributeList", GetLastError());
    }
    info_.lpAttributeList = list;
    if (!UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_.data(),
                                   sizeof(handles_), nullptr, nullptr)) {
      return error::System("UpdateProcThreadAttribute", GetLastError());
    }
    return absl::OkStatus();
  }
  STARTUPINFOW* info() { return &info_.StartupInfo; }

 private:
  std::array<HANDLE, 3> handles_;
  std::vector<char> memory_;
  STARTUPINFOEXW info_ = {};
};

absl::StatusOr<Handle> MakeJob() {
  Handle job(CreateJobObjectW(nullptr, nullptr));
  if (!job) return error::System("CreateJobObject", GetLastError());
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
  if (!SetInformationJobObject(job.get(), JobObjectExtendedLimitInformation, &limits,
                               sizeof(limits))) {
    return error::System("SetInformationJobObject", GetLastError());
  }
  return job;
}

struct Started {
  Handle job;
  Handle process;
  ProcessId id;
};

// In its job before it runs: nothing that it starts can be outside.
absl::StatusOr<Started> Start(const ProcessSpec& spec, Startup* startup) {
  const std::optional<std::string> line = ToCommandLine(spec.argv);
  std::optional<std::wstring> wide_line;
  if (line) wide_line = Widen(*line);
  if (!wide_line || wide_line->size() > kMaxCommandLine) {
    return error::NotStarted(spec.argv[0], "its arguments are no UTF-8, or too long",
                             ERROR_INVALID_PARAMETER);
  }
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring program, FindProgram(spec.argv[0]));
  VMKEEP_ASSIGN_OR_RETURN(std::wstring environment, Environment(spec));
  VMKEEP_RETURN_IF_ERROR(startup->Prepare());
  Started started;
  VMKEEP_ASSIGN_OR_RETURN(started.job, MakeJob());

  PROCESS_INFORMATION made = {};
  if (!CreateProcessW(program.c_str(), wide_line->data(), nullptr, nullptr, TRUE,
                      CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT | CREATE_SUSPENDED |
                          EXTENDED_STARTUPINFO_PRESENT,
                      environment.data(), nullptr, startup->info(), &made)) {
    return error::NotStarted(spec.argv[0], GetLastError());
  }
  started.process = Handle(made.hProcess);
  const Handle thread(made.hThread);
  FILETIME created{}, exited{}, kernel{}, user{};
  if (!AssignProcessToJobObject(started.job.get(), made.hProcess) ||
      !GetProcessTimes(made.hProcess, &created, &exited, &kernel, &user) ||
      ResumeThread(made.hThread) == static_cast<DWORD>(-1)) {
    const DWORD error = GetLastError();
    TerminateProcess(made.hProcess, static_cast<UINT>(kKilledCode));
    return error::System("the start of a process in its job", error);
  }
  started.id = {static_cast<pid_t>(made.dwProcessId), ToNumber(created)};
  return started;
}

// --- the child ----------------------------------------------------------------------------------

class WindowsChild final : public ChildProcess {
 public:
  WindowsChild(std::string program, Started started, Handle in, Handle out, Handle err)
      : job_(std::move(started.job)),
        process_(std::move(started.process)),
        stdin_(std::move(in)),
        stdout_(std::move(out)),
        stderr_(std::move(err)) {
    program_ = std::move(program);
    id_ = started.id;
  }
  ~WindowsChild() override {
    Kill();
    (void)Wait(kDestructorWait);
  }

  absl::Status Write(absl::string_view bytes, absl::Duration timeout) override;
  void CloseStdin() override { stdin_.Close(); }
  absl::StatusOr<Output> ReadSome(absl::Duration timeout, const std::stop_token& stop) override;
  void Kill() override { TerminateJobObject(job_.get(), static_cast<UINT>(kKilledCode)); }
  std::optional<ExitStatus> Wait(absl::Duration timeout) override;

 private:
  // Waits for stderr and one thing or two, the first that is signalled or the deadline.
  void WaitFor(HANDLE one, HANDLE other, const Deadline& deadline);
  void DrainStderr(bool last);

  const Handle job_;
  const Handle process_;
  Handle stdin_;
  PipeReader stdout_;
  PipeReader stderr_;
  std::optional<ExitStatus> exit_;
};

absl::Status WindowsChild::Write(absl::string_view bytes, absl::Duration timeout) {
  const Deadline deadline(timeout);
  Transfer write;
  while (!bytes.empty()) {
    if (!stdin_) return error::Gone(program_);
    DWORD error = write.BeginWrite(stdin_.get(), bytes);
    DWORD count = 0;
    if (error == ERROR_SUCCESS) {
      do {
        WaitForSingleObject(write.event(), WaitMillis(deadline.Left()));
        error = write.Harvest(&count);
      } while (error == ERROR_IO_INCOMPLETE && !deadline.Passed());
    }
    // At the deadline it may just have ended.
    if (error == ERROR_IO_INCOMPLETE) error = write.Cancel(&count);
    bytes.remove_prefix(std::min<size_t>(count, bytes.size()));
    if (error == ERROR_OPERATION_ABORTED) return error::Deadline(program_, timeout);
    if (error == ERROR_NO_DATA || error == ERROR_BROKEN_PIPE || error == ERROR_PIPE_NOT_CONNECTED)
      return error::Gone(program_);
    if (error != ERROR_SUCCESS) return error::System("WriteFile", error);
  }
  return absl::OkStatus();
}

void WindowsChild::WaitFor(HANDLE one, HANDLE other, const Deadline& deadline) {
  std::array<HANDLE, 3> handles{};
  DWORD count = 0;
  for (const HANDLE handle : {one, other, stderr_.event()}) {
    if (handle != nullptr) handles[count++] = handle;
  }
  WaitForMultipleObjects(count, handles.data(), FALSE, WaitMillis(deadline.Left()));
}

void WindowsChild::DrainStderr(bool last) {
  std::string text;
  // An error ends the pipe: there is no more to be had from it, and a diagnosis is no failure.
  (void)(last ? stderr_.TakeLast(&text) : stderr_.Take(&text));
  AddStderr(text);
}

absl::StatusOr<ChildProcess::Output> WindowsChild::ReadSome(absl::Duration timeout,
                                                            const std::stop_token& stop) {
  const Deadline deadline(timeout);
  const StopEvent stopped(stop);
  Output output;
  while (stdout_.open()) {
    WaitFor(stdout_.event(), stopped.get(), deadline);
    DrainStderr(/*last=*/false);
    if (const DWORD error = stdout_.Take(&output.bytes); error != ERROR_SUCCESS) {
      return error::System("ReadFile", error);
    }
    if (!output.bytes.empty()) return output;
    if (stop.stop_requested() || (stdout_.open() && deadline.Passed())) return output;
  }
  output.ended = true;
  return output;
}

std::optional<ExitStatus> WindowsChild::Wait(absl::Duration timeout) {
  const Deadline deadline(timeout);
  while (!exit_) {
    WaitFor(process_.get(), nullptr, deadline);
    DrainStderr(/*last=*/false);  // a child that waits for room in the pipe would never end
    // Not by its exit code: 259, "still active", is one that a process may end with.
    if (WaitForSingleObject(process_.get(), 0) == WAIT_OBJECT_0) {
      DWORD code = 0;
      exit_ = GetExitCodeProcess(process_.get(), &code)
                  ? ExitStatus{static_cast<int>(code), 0}
                  : ExitStatus{kKilledCode, 0};  // its end is all we know
      DrainStderr(/*last=*/true);
      stdin_.Close();  // nobody reads it; the kernel may notice that later
    } else if (deadline.Passed()) {
      return std::nullopt;
    }
  }
  return exit_;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const ProcessSpec& spec) {
  if (spec.argv.empty()) return error::NotStarted("", ERROR_INVALID_PARAMETER);
  Handle stdin_ours, stdin_theirs, stdout_ours, stdout_theirs, stderr_ours, stderr_theirs;
  if (spec.with_stdin) {
    VMKEEP_RETURN_IF_ERROR(MakePipe(PipeWay::kToChild, &stdin_ours, &stdin_theirs));
  } else {
    stdin_theirs = OpenNull(GENERIC_READ);
  }
  VMKEEP_RETURN_IF_ERROR(MakePipe(PipeWay::kFromChild, &stdout_ours, &stdout_theirs));
  if (spec.capture_stderr) {
    VMKEEP_RETURN_IF_ERROR(MakePipe(PipeWay::kFromChild, &stderr_ours, &stderr_theirs));
  } else {
    stderr_theirs = OurStderr();
  }
  Startup startup(stdin_theirs.get(), stdout_theirs.get(), stderr_theirs.get());
  VMKEEP_ASSIGN_OR_RETURN(Started started, Start(spec, &startup));
  return std::make_unique<WindowsChild>(spec.argv[0], std::move(started), std::move(stdin_ours),
                                        std::move(stdout_ours), std::move(stderr_ours));
}

}  // namespace vmkeep::process
