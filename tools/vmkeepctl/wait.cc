#include "tools/vmkeepctl/wait.h"

#include "common/clock.h"
#include "common/status_macros.h"
#include "tools/vmkeepctl/advice.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/follow.h"
#include "tools/vmkeepctl/progress.h"
#include "tools/vmkeepctl/terminal.h"
#include "tools/vmkeepctl/views.h"

#include "absl/strings/str_cat.h"
#include <unistd.h>

#include <memory>
#include <string>

namespace vmkeep::ctl {
namespace {

enum class Settled { kStays, kIsWrittenOnce };

std::unique_ptr<FollowView> ViewOn(int fd, Settled settled) {
  if (!IsLiveTerminal(fd)) return std::make_unique<LineView>(WriteTo(fd), RealClock());
  const auto size = [fd] {
    const TerminalSize terminal = SizeOf(fd);
    return LiveView::Size{terminal.columns, terminal.rows};
  };
  return std::make_unique<LiveView>(WriteTo(fd), size, TerminalCharset(), RealClock(),
                                    settled == Settled::kStays);
}

// The backup as it ended; asks again when the watch did not show its end.
absl::StatusOr<v1::Backup> Ended(const SeenBackups& seen, const std::string& id, Client& client) {
  if (const auto found = seen.find(id); found != seen.end() && IsSettled(found->second))
    return found->second;
  v1::GetBackupRequest request;
  request.set_id(id);
  return client.GetBackup(request);
}

}  // namespace

absl::Status WaitUntilSettled(const v1::Backup& backup, v1::Backup::State wanted, Client& client,
                              const Output& output) {
  v1::WatchBackupsRequest request;
  request.mutable_filter()->add_ids(backup.id());
  request.mutable_filter()->set_show_closed(true);
  request.set_until_settled(true);
  const std::unique_ptr<FollowView> view =
      output.json() ? std::make_unique<SilentView>() : ViewOn(STDERR_FILENO, Settled::kStays);
  SeenBackups seen;
  const absl::Status followed = Follow(client, request, Persistence::kAlways, *view, seen);
  if (!followed.ok()) {
    const std::string advice =
        absl::StrCat("backup ", backup.id(), " goes on without us, follow it with ",
                     "\"vmkeepctl backup watch ", backup.id(), " --until-settled\"");
    return error::WithAdvice(followed, advice, "backup_id", backup.id());
  }
  VMKEEP_ASSIGN_OR_RETURN(const v1::Backup ended, Ended(seen, backup.id(), client));
  output.Result(ended, absl::StrCat(Summary(ended), "\n"));
  if (ended.state() == wanted) return absl::OkStatus();
  if (ended.state() == v1::Backup::UNRESOURCED) {
    output.Note(absl::StrCat("what to do: ", WhatToDo(ended), "\n"));
    return error::BackupFailed(ended);
  }
  return error::UnexpectedState(ended, v1::Backup::State_Name(wanted));
}

absl::Status WatchToStdout(const v1::WatchBackupsRequest& request, Client& client,
                           const Output& output) {
  std::unique_ptr<FollowView> view;
  if (output.json()) {
    view = std::make_unique<JsonView>(WriteTo(STDOUT_FILENO));
  } else {
    view = ViewOn(STDOUT_FILENO, Settled::kIsWrittenOnce);
  }
  SeenBackups seen;
  VMKEEP_RETURN_IF_ERROR(Follow(client, request, Persistence::kOnceItDelivered, *view, seen));
  for (const std::string& id : request.filter().ids()) {
    const auto found = seen.find(id);
    if (found != seen.end() && found->second.state() == v1::Backup::UNRESOURCED) {
      output.Note(absl::StrCat("what to do: ", WhatToDo(found->second), "\n"));
      return error::BackupFailed(found->second);
    }
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::ctl
