// A FUSE file system for tests: a folder, seen through a mount that fails or hangs on command.
//
//   vmkeep-faultfs --root FOLDER --mount MOUNTPOINT --control FILE [--log FILE]
//
// Needs root and /dev/fuse. Prints "mounted" when it serves. SIGTERM ends it and takes the mount
// away, and so does the end of the process that started it. Its end in any way, SIGKILL included,
// frees every call that waits in it (ENOTCONN), so no test can leave a process behind that cannot
// be killed; after a SIGKILL the dead mount itself is left, for `umount -l`.
//
// The control file, outside of the mount, is read at each call; absent or empty: no fault. Replace
// it by a rename, or a call may see half of it. One rule a line, the first that fits counts:
//
//   OPERATION PATH FAULT [from=BYTES]
//
//   OPERATION  open create read write fsync flush release rename mkdir unlink rmdir link truncate
//              statfs getattr readdir, or *. fsync is a folder's too; flush is what close() waits
//              for, release has no caller that hears its error.
//   PATH       a part of the path below the mount (of a rename: of the old or the new one), or *
//   FAULT      EIO, ENOSPC, ESTALE, EDQUOT, EROFS, EACCES, ENOENT, EEXIST, ENOTEMPTY, ETIMEDOUT,
//              EINTR: the call returns that and does nothing.
//              hang: the call waits until the rule is gone, then is carried out. SIGKILL ends the
//              caller, as on an NFS mount whose server is gone.
//              stuck: the same, but no signal ends the caller (it is in state D until the rule or
//              this process is gone), as with a driver that waits uninterruptibly. This is the real
//              thing as seen from the caller; only the cause is simulated.
//              after-EIO, after-hang, ...: carried out first, then the error or the wait: a reply
//              that was lost.
//   from       of read and write: only calls that reach beyond this offset
//
// The log gets a line for each call that one may make fail: "OPERATION PATH RESULT", RESULT being
// ok, the errno's name, hang or stuck (when the wait begins; the same call has a line more when it
// ends). Reads, lookups and statfs are logged only when a rule fits them.
#include "tests/faultfs/passthrough.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

namespace vmkeep::faultfs {
namespace {

// Hanging calls hold a thread each.
constexpr unsigned kThreads = 64;

int Usage() {
  (void)std::fprintf(stderr,
                     "usage: vmkeep-faultfs --root FOLDER --mount MOUNTPOINT --control FILE "
                     "[--log FILE]\n");
  return 2;
}

int Serve(const std::string& mountpoint, Passthrough* passthrough, const sigset_t& ends) {
  char name[] = "vmkeep-faultfs";
  char option[] = "-ofsname=vmkeep-faultfs";
  char* argv[] = {name, option, nullptr};
  fuse_args args = FUSE_ARGS_INIT(2, argv);
  fuse* const session =
      fuse_new(&args, &Passthrough::Operations(), sizeof(fuse_operations), passthrough);
  if (session == nullptr || fuse_mount(session, mountpoint.c_str()) != 0) return 1;
  // Waiting calls need not end for the process to end: the kernel frees their callers.
  std::thread([mountpoint, ends] {
    int got = 0;
    sigwait(&ends, &got);
    umount2(mountpoint.c_str(), MNT_DETACH);
    _exit(0);
  }).detach();
  (void)std::puts("mounted");
  (void)std::fflush(stdout);
  fuse_loop_config* const config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_max_threads(config, kThreads);
  fuse_loop_cfg_set_idle_threads(config, kThreads);
  fuse_loop_mt(session, config);
  _exit(0);
}

int Main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  if (argc % 2 == 0 || !flags.contains("--root") || !flags.contains("--mount") ||
      !flags.contains("--control")) {
    return Usage();
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, signal);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const int root = open(flags["--root"].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) {
    std::perror(flags["--root"].c_str());
    return 1;
  }
  std::FILE* const log =
      flags.contains("--log") ? std::fopen(flags["--log"].c_str(), "ae") : nullptr;
  umask(0);
  Control control(flags["--control"], log);
  Passthrough passthrough(root, &control);
  return Serve(flags["--mount"], &passthrough, ends);
}

}  // namespace
}  // namespace vmkeep::faultfs

int main(int argc, char** argv) { return vmkeep::faultfs::Main(argc, argv); }
