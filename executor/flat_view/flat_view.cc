#include "executor/flat_view/flat_view.h"

#include "common/error.h"
#include "common/fs/fd.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/flat_view/errors.h"
#include "executor/flat_view/image_json.h"

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr char kQemuNbd[] = "qemu-nbd";
constexpr absl::Duration kLookEvery = absl::Milliseconds(10);
// A process that only reads local files is gone within milliseconds of a SIGKILL.
constexpr absl::Duration kEndWithin = absl::Seconds(5);
constexpr absl::Duration kVersionWithin = absl::Seconds(10);
// One worker's connections, and one to see whether it answers.
constexpr int kMaxClients = 8;

// New in this process; the state folder has only one.
std::string NewSocketPath(const std::string& folder) {
  static std::atomic<int> number = 0;
  return absl::StrCat(folder, "/", ++number, ".sock");
}

absl::Status MakeFolder(const std::string& folder) {
  // Ours alone: who reaches the socket reads the disk.
  if ((mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) || chmod(folder.c_str(), 0700) != 0)
    return error::FlatViewFolder(folder, std::strerror(errno));
  return absl::OkStatus();
}

absl::Status CheckSocketPath(const std::string& folder) {
  // The longest name that NewSocketPath() gives.
  const size_t longest = folder.size() + std::strlen("/2147483647.sock");
  return longest < sizeof(sockaddr_un::sun_path)
             ? absl::OkStatus()
             : error::FlatViewFolder(folder, "its path is too long for a unix socket");
}

fs::Fd Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  fs::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool connected =
      fd.valid() &&
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  return connected ? std::move(fd) : fs::Fd();
}

// Whether the server greets. Its socket is there before it has opened the image (seen): a
// connection alone says nothing.
bool Greets(const fs::Fd& connection) {
  constexpr absl::string_view kGreeting = "NBDMAGIC";
  std::array<char, kGreeting.size()> got{};
  return connection.valid() &&
         recv(connection.get(), got.data(), got.size(), MSG_DONTWAIT | MSG_PEEK) ==
             static_cast<ssize_t>(got.size()) &&
         absl::string_view(got.data(), got.size()) == kGreeting;
}

// One line, for an error text.
std::string LastWords(const process::ChildProcess& child) {
  return absl::StrReplaceAll(absl::StripAsciiWhitespace(child.captured_stderr()), {{"\n", "; "}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<FlatView>> FlatView::Open(const Disk& disk,
                                                         const std::string& folder, Clock& clock,
                                                         absl::Duration deadline,
                                                         const std::stop_token& stop) {
  VMKEEP_RETURN_IF_ERROR(CheckSocketPath(folder));
  VMKEEP_RETURN_IF_ERROR(MakeFolder(folder));
  std::unique_ptr<FlatView> view = absl::WrapUnique(new FlatView(disk, NewSocketPath(folder)));
  VMKEEP_RETURN_IF_ERROR(view->Start(disk));
  VMKEEP_RETURN_IF_ERROR(view->AwaitAnswer(clock, deadline, stop));
  return view;
}

FlatView::FlatView(const Disk& disk, std::string socket)
    : source_(disk.source),
      export_name_(disk.target),
      socket_(std::move(socket)),
      files_(FilesOf(disk)) {}

FlatView::~FlatView() { Close(); }

absl::Status FlatView::Start(const Disk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string image, ImageJson(disk, IsBlockDevice));
  unlink(socket_.c_str());  // of an executor before this one
  // Without --fork: it stays our child, to be killed and reaped. Never -U: it takes the proof away
  // that nobody writes.
  VMKEEP_ASSIGN_OR_RETURN(
      child_, process::Spawn({.argv = {kQemuNbd, "--read-only", "--persistent",
                                       absl::StrCat("--shared=", kMaxClients),
                                       absl::StrCat("--socket=", socket_),
                                       absl::StrCat("--export-name=", export_name_), image},
                              .environment = {{"LC_ALL", "C"}},
                              .with_stdin = false,
                              .capture_stderr = true}));
  return absl::OkStatus();
}

absl::Status FlatView::AwaitAnswer(Clock& clock, absl::Duration deadline,
                                   const std::stop_token& stop) {
  const absl::Duration until = clock.Monotonic() + deadline;
  fs::Fd connection;
  while (true) {
    if (!connection.valid()) connection = Connect(socket_);
    if (Greets(connection)) return absl::OkStatus();
    if (const std::optional<process::ExitStatus> ended = child_->Wait(absl::ZeroDuration())) {
      // Its own exit is a verdict on the images, a signal is none.
      return ended->signal == 0
                 ? error::FlatViewNotStarted(source_, LastWords(*child_))
                 : error::FlatViewEnded(source_, ended->ToString(), LastWords(*child_));
    }
    if (clock.Monotonic() >= until) return error::FlatViewDeadline(source_, deadline);
    if (!clock.WaitFor(kLookEvery, stop)) return error::FlatViewCancelled();
  }
}

absl::Status FlatView::Check() {
  if (closed_) return absl::OkStatus();
  const std::optional<process::ExitStatus> ended = child_->Wait(absl::ZeroDuration());
  return ended ? error::FlatViewEnded(source_, ended->ToString(), LastWords(*child_))
               : absl::OkStatus();
}

bool FlatView::Close() {
  if (closed_ || child_ == nullptr) return true;
  child_->Kill();
  closed_ = child_->Wait(kEndWithin).has_value();
  unlink(socket_.c_str());
  if (!closed_) {
    log::Error("flat_view_does_not_end",
               {{"pid", child_->id().pid},
                {"source", source_},
                {"remedy",
                 "it hangs in the kernel, on a disk of this host: until it ends the VM "
                 "cannot be merged"}});
  }
  return closed_;
}

absl::Status CheckCanServe(const Disk& disk, const std::string& folder) {
  VMKEEP_RETURN_IF_ERROR(ImageJson(disk, IsBlockDevice).status());
  VMKEEP_RETURN_IF_ERROR(CheckSocketPath(folder));
  VMKEEP_RETURN_IF_ERROR(MakeFolder(folder));
  VMKEEP_ASSIGN_OR_RETURN(const process::RunResult version,
                          process::RunToEnd({kQemuNbd, "--version"}, kVersionWithin));
  return version.exit_status.ok() ? absl::OkStatus()
                                  : error::FlatViewNotStarted(disk.source, version.err);
}

}  // namespace vmkeep::executor
