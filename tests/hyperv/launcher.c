// Starts a Windows program as the executor's service does: without a console window, its standard handles pipes.
//
//   launcher.exe PROGRAM [ARGUMENT...]
//
// It passes on its own standard handles and the exit code, and ends the program when it ends itself, however it ends:
// the job is closed with its last handle, which is ours. PowerShell under wine does not start from a Unix parent or
// with a console.
#include <windows.h>

#include <stdio.h>

// What stands after our own name on the command line, quoted as it came.
static wchar_t *Rest(wchar_t *line) {
  int quoted = 0;
  for (; *line && (quoted || (*line != L' ' && *line != L'\t')); ++line) {
    if (*line == L'"') quoted = !quoted;
  }
  while (*line == L' ' || *line == L'\t') ++line;
  return line;
}

static int Fail(const char *what) {
  fprintf(stderr, "launcher: %s: error %lu\n", what, GetLastError());
  return 126;
}

int main(void) {
  wchar_t *line = Rest(GetCommandLineW());
  if (!*line) return fprintf(stderr, "usage: launcher.exe PROGRAM [ARGUMENT...]\n"), 2;

  HANDLE job = CreateJobObjectW(NULL, NULL);
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
  if (!job || !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)) {
    return Fail("job object");
  }

  STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
  startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
  startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
  startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
  SetHandleInformation(startup.hStdInput, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
  SetHandleInformation(startup.hStdOutput, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
  SetHandleInformation(startup.hStdError, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
  PROCESS_INFORMATION child;
  if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_NO_WINDOW | CREATE_SUSPENDED, NULL, NULL, &startup, &child)) {
    return Fail("CreateProcess");
  }
  if (!AssignProcessToJobObject(job, child.hProcess)) return Fail("AssignProcessToJobObject");
  ResumeThread(child.hThread);

  DWORD code = 126;
  WaitForSingleObject(child.hProcess, INFINITE);
  if (!GetExitCodeProcess(child.hProcess, &code)) return Fail("GetExitCodeProcess");
  return (int)code;
}
