#include "tools/vmkeepctl/advice.h"

#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <array>

namespace vmkeep::ctl {
namespace {

// The phase that only a scrub has.
constexpr char kScrubPhase[] = "REMOVING";

constexpr char kStorage[] =
    "Check the storage server, the network to it and the mount on the host; \"vmkeepctl repo "
    "list\" shows how the repositories are.";
constexpr char kFull[] =
    "Scrub backups that are not needed, make the repository larger, or let the next backup of "
    "this VM go to the other repository.";
constexpr char kMount[] =
    "Mount the right file system on the host; \"vmkeepctl repo list\" shows what it finds there.";
constexpr char kBug[] =
    "This should not happen. Look at the log of the host's executor for this backup's id, and "
    "report it.";
constexpr char kHostDisk[] =
    "Look at the file that the message names on the host, and at the log of the host's executor.";
constexpr char kVersions[] =
    "Install the same version of vmkeep on the controller and the host, all of its programs.";
constexpr char kHost[] =
    "See that the host's executor runs and can be reached; \"vmkeepctl host list\" says what is "
    "in the way.";
constexpr char kMerge[] =
    "The VM may still run on its overlay: \"vmkeepctl vm list --overlay\" says so. The executor "
    "goes on merging by itself; watch the host's free space, and read its executor's log when the "
    "overlay stays.";
constexpr char kExport[] =
    "Look at the host's hypervisor, at the storage server, and at the network to it: the export "
    "did not come to its end in time.";
constexpr char kScript[] =
    "Look at the host's PowerShell and at its load, and at the log of the host's executor: it has "
    "what the script said.";
constexpr char kAgain[] = "Nothing is wrong with the VM.";

// Sorted by reason.
constexpr std::array kAdvice = {
    Advice{"ALREADY_PUBLISHED",
           "An earlier try of this backup was published after all. Look whether it is RUNNING by "
           "now."},
    Advice{"BAD_LINE", kVersions},
    Advice{"BAD_MESSAGE", kBug},
    Advice{"BAD_REPORT", kBug},
    Advice{"BASE_NOT_FLUSHED",
           "Look at the storage below the file that the message names, then check the guest's file "
           "systems. The executor keeps the overlays; remove them when the guest is well."},
    Advice{"CANCELLED",
           "Somebody stopped it. Ask whoever scrubbed it or stopped the host's executor before you "
           "try again."},
    Advice{"CANNOT_BACK_UP",
           "Change the VM as the message says: it is shaped in a way that cannot be backed up "
           "truly. The VM itself was not touched."},
    Advice{"COPY_IN_USE", kStorage},
    Advice{"COPY_STALLED", kStorage},
    Advice{"COPY_UNAVAILABLE", kBug},
    Advice{"DATABASE_ERROR",
           "The journal of the host's executor could not be read or written: check the disk under "
           "its --state_dir."},
    Advice{"DIGEST_LIST_INCOMPLETE", kBug},
    Advice{"DISK_CHANGED",
           "A disk was exchanged or moved while the backup began, perhaps by a migration. Wait "
           "until that has ended."},
    Advice{
        "EXECUTOR_RESTARTED",
        "The host's executor ended in the middle of the work, and this work could not be gone on "
        "with; its log says why. What it had begun on the VM was undone."},
    Advice{"EXECUTOR_STOPPED",
           "The host's executor was stopped, perhaps for an upgrade. Start it again."},
    Advice{"EXPORT_ACCESS_DENIED",
           "Give the host's computer account (DOMAIN\\HOST$) the right to write to the share, on "
           "the share and on its files: Hyper-V writes an export itself, not the executor."},
    Advice{"EXPORT_DEADLINE", kExport},
    Advice{
        "EXPORT_INCOMPLETE",
        "What the hypervisor exported is not the whole VM, as the message says. See that nothing "
        "else writes into the repository, and look at the hypervisor's own log."},
    Advice{"EXPORT_LOST",
           "See whether the host's executor or its hypervisor was restarted meanwhile. Nothing is "
           "wrong with the VM."},
    Advice{"EXPORT_NOT_ENDED",
           "The host could not make sure that the VM is not exported any more, so the files stay. "
           "Look whether its hypervisor still exports the VM; the executor removes them once it "
           "does not."},
    Advice{"EXPORT_STALLED", kExport},
    Advice{"FILE_EXISTS", kHostDisk},
    Advice{"FILE_NOT_FOUND", kHostDisk},
    Advice{"FILE_TOO_LONG", kHostDisk},
    Advice{"FLAT_VIEW_ENDED",
           "See whether the host's kernel killed qemu-nbd for want of memory, and give the host "
           "more."},
    Advice{"FLAT_VIEW_FOLDER",
           "Put the folder that the message names right on the host, or give the executor another "
           "--state_dir."},
    Advice{"FLAT_VIEW_IMPOSSIBLE",
           "Change the image chain as the message says; \"qemu-img info --backing-chain\" on the "
           "host shows it."},
    Advice{"FLAT_VIEW_NOT_STARTED",
           "See that qemu-nbd is installed on the host and that each file of the chain is there; "
           "\"qemu-img info --backing-chain\" shows them."},
    Advice{"FOLDER_NOT_EMPTIED",
           "Find the process that still holds a file of this backup open in the repository, often "
           "a restore or a copy by hand, and end it."},
    Advice{"HYPERVISOR_ERROR",
           "Look at the hypervisor's own log on the host for the words of the message, such as "
           "/var/log/libvirt/qemu/<vm>.log."},
    Advice{
        "HYPERVISOR_UNAVAILABLE",
        "Start libvirt on the host and see that \"virsh list\" works; with Hyper-V, see that its "
        "role is there and its service vmms runs."},
    Advice{"HYPERV_ACCESS_DENIED",
           "Run the host's executor as LocalSystem, or as a member of Hyper-V Administrators."},
    Advice{"HYPERV_MISSING",
           "Install the Hyper-V role and its PowerShell module on the host, or take the host out "
           "with \"vmkeepctl host delete\"."},
    Advice{"INCOMING_ABSENT",
           "The unfinished files of this try are gone from the repository. Another try copies "
           "again."},
    Advice{"INCOMING_INCOMPLETE",
           "The files that were copied are not what was written: do not trust this storage before "
           "its own checks (a scrub of the pool, SMART) are clean."},
    Advice{"INVALID_ARGUMENT", kVersions},
    Advice{"IO_ERROR", kStorage},
    Advice{"LINE_TOO_LONG", kBug},
    Advice{"MANIFEST_INVALID",
           "The manifest in the repository cannot be read: check the storage, and keep the folder "
           "until somebody has looked at it."},
    Advice{"MANIFEST_NOT_WRITTEN", kBug},
    Advice{"MANIFEST_TOO_NEW", kVersions},
    Advice{"MERGE_DEADLINE", kMerge},
    Advice{"MERGE_FAILED", kMerge},
    Advice{"MERGE_NOT_READY", kMerge},
    Advice{"NOT_A_PLAIN_FILE", kHostDisk},
    Advice{"NOT_OF_THIS_HYPERVISOR", kBug},
    Advice{"NOT_PERMITTED",
           "Let the host's executor and worker read and write the file that the message names."},
    Advice{"NO_REPOSITORY",
           "Make one of the host's repositories usable: \"vmkeepctl repo list\" says what each "
           "lacks."},
    Advice{"NO_SPACE", kFull},
    Advice{"OVERLAY_MISSING",
           "Put the overlay's file back where it was; until then nothing is touched."},
    Advice{
        "OVERLAY_NOT_MERGED",
        "Keep the VM off and compare the overlay with the disk: it alone may hold what the guest "
        "wrote during the backup."},
    Advice{"OVERLAY_SPACE",
           "Make room on the host's own file system: the guest's writes need it while the disks "
           "are copied."},
    Advice{"OVERLOADED", "The host's executor has too much to do at once; give it time."},
    Advice{"PATH_LEAVES_FOLDER",
           "Remove the link or the mount that stands where only vmkeep makes folders."},
    Advice{"PROCESS_DEADLINE", kStorage},
    Advice{"PROCESS_GONE", "See whether the kernel of the host killed it for want of memory."},
    Advice{"PROCESS_NOT_FOUND", kAgain},
    Advice{"PROCESS_OUTPUT_TOO_LONG", kBug},
    Advice{"PROGRAM_NOT_STARTED",
           "Install the program that the message names on the host, executable for the executor."},
    Advice{"PROTOCOL_MISMATCH", kVersions},
    Advice{"QUIESCE_FAILED",
           "Start the guest agent in the VM, or make a new backup with \"--quiesce if-available\": "
           "this one insists on a frozen guest."},
    Advice{"REPOSITORY_FULL", kFull},
    Advice{"REPOSITORY_ILL", kStorage},
    Advice{"REPOSITORY_IO_ERROR", kStorage},
    Advice{"REPOSITORY_MARKER_ABSENT",
           "Mount the repository on the host if it is not mounted; only when it is a new one, "
           "initialise it with \"vmkeepctl repo init\"."},
    Advice{"REPOSITORY_MARKER_INVALID",
           "Put the marker file back with the repository's id (\"vmkeepctl backup list\" of its "
           "backups names it), and check the storage that broke it."},
    Advice{"REPOSITORY_MISMATCH", kMount},
    Advice{"REPOSITORY_NOT_CONFIGURED",
           "Set the repository's path in the settings of the host's executor, or let the backup go "
           "to the other repository."},
    Advice{"REPOSITORY_NOT_MOUNTED", kMount},
    Advice{"REPOSITORY_NOT_WRITABLE",
           "Mount the repository read-write, and let the worker's user write there."},
    Advice{
        "REPOSITORY_STUCK",
        "Bring the storage server back, or take the dead mount away on the host (umount -f -l) and "
        "mount it anew: what hangs there ends by itself then."},
    Advice{"REPOSITORY_TAMPERED",
           "Find out who changed the repository's folders by hand, and undo it."},
    Advice{"REPOSITORY_UNINITIALIZED",
           "Mount the repository on the host if it is not mounted; only when it is a new one, "
           "initialise it with \"vmkeepctl repo init\"."},
    Advice{"REPOSITORY_UNREACHABLE", kStorage},
    Advice{"SCRIPT_DEADLINE", kScript},
    Advice{"SCRIPT_FAILED", kScript},
    Advice{"SCRIPT_NOT_CANCELLED", kScript},
    Advice{"SCRIPT_PROTOCOL", kBug},
    Advice{"SOURCE_BUSY",
           "Find what else has the image open on the host, such as a second VM or qemu-nbd, and "
           "close it."},
    Advice{"SOURCE_CHANGED",
           "Find what else writes to the image while vmkeep copies it, such as a VM that was "
           "started or a tool, and stop it."},
    Advice{"SOURCE_READ_ERROR",
           "The host cannot read the VM's own disk: check it now (SMART, the pool, the kernel's "
           "log), and keep the earlier backups."},
    Advice{"SOURCE_UNUSABLE", kHostDisk},
    Advice{"SOURCE_VIEW_LOST",
           "See whether the host's kernel killed qemu-nbd for want of memory, and give the host "
           "more."},
    Advice{"STALE_EPOCH", kAgain},
    Advice{"SYSTEM_CALL_FAILED", "Look at the host's memory, open files and kernel log."},
    Advice{"TASK_REFUSED", kHost},
    Advice{"TREE_TOO_DEEP",
           "Something else made folders inside this backup: look at them and remove them by hand."},
    Advice{"VM_AMBIGUOUS",
           "Undefine the VM on the host where it does not belong; of two VMs with one name, give "
           "the id instead."},
    Advice{"VM_BUSY", "Wait until the hypervisor's other job on this VM has ended."},
    Advice{"VM_INVALID_STATE",
           "Wait until the VM runs or is off; Hyper-V exports it in no other state."},
    Advice{"VM_NOT_FOUND",
           "Find the host that has the VM now with \"vmkeepctl vm get\", and make a new backup."},
    Advice{"VM_ON_OVERLAY",
           "Let the overlay be merged first: \"vmkeepctl vm list --overlay\" says where it is and "
           "what is in the way."},
    Advice{"WORKER_DEADLINE", kStorage},
    Advice{"WORKER_DIED",
           "See whether the host's kernel killed vmkeep-worker for want of memory, and give the "
           "host more."},
    Advice{"WORKER_PROTOCOL", kVersions},
};

absl::string_view AdviceFor(absl::string_view reason) {
  const auto* found = std::find_if(kAdvice.begin(), kAdvice.end(), [reason](const Advice& advice) {
    return advice.reason == reason;
  });
  if (found != kAdvice.end()) return found->to_do;
  return "This vmkeepctl knows no advice for the reason, perhaps it is older than the controller. "
         "The executor's log on the host has more under this backup's id.";
}

// The command that comes next.
std::string NextStep(const v1::Backup& backup) {
  const std::string id = Printable(backup.id());
  switch (backup.state()) {
    case v1::Backup::UNRESOURCED:
      return absl::StrCat(
          backup.failure().retryable() ? "Another try can help" : "When that is done",
          ": \"vmkeepctl backup retry ", id, " --wait\". To give up: \"vmkeepctl backup scrub ", id,
          "\".");
    case v1::Backup::SCRUB:
    case v1::Backup::SCRUBBING:
      return "The scrub is tried again by itself until the files are gone.";
    default:
      return "It is tried again by itself.";
  }
}

// True when the failure is history: nothing is to be done about it any more.
bool IsPast(const v1::Backup& backup) {
  switch (backup.state()) {
    case v1::Backup::RUNNING:
    case v1::Backup::CLOSED:
      return true;
    case v1::Backup::SCRUB:
    case v1::Backup::SCRUBBING:
      return backup.failure().phase() != kScrubPhase;
    default:
      return false;
  }
}

}  // namespace

absl::Span<const Advice> AllAdvice() { return kAdvice; }

std::string WhatToDo(const v1::Backup& backup) {
  if (!backup.has_failure() || IsPast(backup)) return {};
  return absl::StrCat(AdviceFor(backup.failure().reason()), " ", NextStep(backup));
}

}  // namespace vmkeep::ctl
