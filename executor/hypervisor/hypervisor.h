#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERVISOR_H_

#include "common/fs/files.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace vmkeep::executor {

enum class PowerState { kUnknown, kOn, kOff, kPaused };
enum class QuiescePolicy { kIfAvailable, kRequired, kNever };
enum class Consistency { kUnknown, kCrash, kFilesystem, kApplication };

// One image of a chain, format as declared or as recorded in the image above it, never probed.
struct ImageLayer {
  std::string file;       // on the host, absolute
  std::string format;     // "raw" or "qcow2"; of an export "vhdx" or "vhd"
  std::string data_file;  // of a qcow2 whose data is in a second (raw) file; else empty
};

// A disk that a backup takes: an image file or a block device, alone or on top of a chain.
struct Disk {
  std::string target;     // in the guest, such as "vda"
  std::string source;     // the image on the host, absolute
  std::string format;     // as declared to the hypervisor, never probed: "raw" or "qcow2"; of an
                          // export "vhdx" or "vhd"
  std::string data_file;  // see ImageLayer
  std::vector<ImageLayer> backing;  // below `source`, nearest first, down to the last one
  bool block_device = false;        // `source` is one: its overlay goes into --overlay_dir
  int64_t virtual_bytes = 0;        // what the guest sees
  int64_t data_bytes = 0;           // allocated on the host; of an export: by the whole chain
  // What the image was when it was described: a copy is of this file and no other. Of a block
  // device its own number, and 0: the nodes that name it are made anew (udev).
  uint64_t dev = 0;
  uint64_t ino = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0;

  // Stored as one flat raw image, since no single file holds all of it. Otherwise copied byte for
  // byte, in its own format.
  bool flat() const { return !backing.empty() || !data_file.empty(); }
  std::string stored_format() const { return flat() ? "raw" : format; }

  void SetIdentity(const fs::FileInfo& file);
  bool IsOf(const fs::FileInfo& file) const;
};

struct ExcludedDisk {
  std::string target;
  std::string reason;  // see vmkeep.v1.ExcludedDisk
};

struct VmDescription {
  std::string uuid;  // lower case
  std::string name;
  PowerState power = PowerState::kUnknown;
  std::vector<Disk> disks;
  std::vector<ExcludedDisk> excluded;
  std::vector<std::string> not_included;  // in words: "TPM state"
  std::string nvram;                      // file on the host; empty when there is none
  // With secrets: never logged.
  std::string live_xml;      // empty when the VM is off
  std::string inactive_xml;  // empty when the VM is transient
};

// One disk on our overlay: everything that merging it needs, so that it can be journalled before
// the snapshot.
struct OverlayDisk {
  std::string vm_uuid;
  std::string target;
  std::string base;         // the recorded source
  std::string base_format;  // "raw" or "qcow2"
  std::string overlay;      // a name that no file had
};

struct SnapshotPlan {
  std::string vm_uuid;
  std::vector<OverlayDisk> disks;  // at least one
  std::vector<std::string>
      untouched;  // every other target of the VM: listed, so that none is snapshotted by accident
  QuiescePolicy quiesce = QuiescePolicy::kIfAvailable;
};

struct SnapshotResult {
  absl::Time instant;
  Consistency consistency = Consistency::kUnknown;
  std::string quiesce_detail;  // what came of the freeze, in words
};

enum class MergePhase {
  kNone,     // no job, and the disk is still on the overlay: start one
  kRunning,  // moving data
  kReady,    // pivot now
  kMerged,   // the disk is on its base: nothing left to do
  kOffline,  // the VM is off and its definition names the overlay: CommitOffline
};
struct MergeStatus {
  MergePhase phase = MergePhase::kNone;
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
};

// What is done for a merge that the guest outruns. As it is by default: nothing, and what was done
// before is taken back.
struct MergeHelp {
  bool full_speed = false;             // the merge is not limited any more
  int64_t write_bytes_per_second = 0;  // the guest may write so much to the disk; 0: as before
  bool suspended = false;              // the guest stands still

  friend bool operator==(const MergeHelp&, const MergeHelp&) = default;
};

// How a hypervisor gives out what a VM's disks hold at one instant.
enum class BackupMethod {
  kOverlays,  // the guest's writes go to overlays while we copy, then we merge
  kExport,    // it writes the files itself, into a folder that we name
};

// One export of one VM.
struct ExportPlan {
  std::string vm_uuid;
  // On the repository, made by a worker, empty: nobody else writes there. The hypervisor makes a
  // folder with the VM's name in it. Absolute, as the host names it.
  std::string folder;
  QuiescePolicy quiesce = QuiescePolicy::kIfAvailable;
};

enum class ExportPhase {
  kNone,     // this process knows of none
  kRunning,  // moving data
  kDone,     // the hypervisor said so, and the program that asked it ended well
  kFailed,   // `error` says why; the hypervisor may still be at it: EndExport
};
struct ExportStatus {
  ExportPhase phase = ExportPhase::kNone;
  int percent = 0;         // as the hypervisor says it: coarse, 0 to 100
  int64_t bytes_done = 0;  // that the files in the folder have
  absl::Status error;      // of kFailed, never OK then; OK else
  SnapshotResult result;   // of kDone
};

struct VmSummary {
  std::string uuid;
  std::string name;
  PowerState power = PowerState::kUnknown;
  std::vector<OverlayDisk> overlays;  // ours, found by their name: kOverlayMark in it
};

// Whether a disk's path names a block device now; a link is followed.
bool IsBlockDevice(const std::string& path);

// Part of every overlay's file name, followed by the task's id.
inline constexpr absl::string_view kOverlayMark = ".vmkeep-";
// The overlay's path for a disk: beside it, its base name cut so that no file system refuses the
// name.
std::string OverlayPath(absl::string_view source, absl::string_view task_id);
// The task's id in an overlay's path; empty when it is none of ours.
std::string OverlayTask(absl::string_view path);

// What the task engine asks of a hypervisor. Small verbs: each may block for a bounded time, none
// spans a step, each is idempotent unless it says otherwise. Thread-safe; one VM is worked on by
// one thread at a time.
//
// Errors are of hypervisor/errors.h. VM_NOT_FOUND where the VM is gone; UNAVAILABLE where another
// try may succeed.
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  virtual std::string name() const = 0;  // "libvirt", "hyperv", "sim"
  virtual bool simulated() const = 0;
  // Which of the two families of verbs below it has; those of the other are UNIMPLEMENTED.
  virtual BackupMethod method() const = 0;

  virtual absl::StatusOr<std::vector<VmSummary>> ListVms() = 0;
  // Calls `changed` from some thread, soon after a VM appeared, vanished or changed its power
  // state. Set once, at start.
  virtual void OnChange(std::function<void()> changed) = 0;

  // Looks, changes nothing. Refuses with a sentence and a remedy what cannot be backed up truly
  // (CANNOT_BACK_UP), a VM with a job under way (VM_BUSY), and a VM on an overlay of ours
  // (VM_ON_OVERLAY).
  virtual absl::StatusOr<VmDescription> Describe(absl::string_view vm_uuid) = 0;

  // --- BackupMethod::kOverlays

  // All disks at one instant, atomically, also of a VM that is off: it may be started at any time
  // then. Whatever the policy, nobody is frozen in that. The guest is thawed again when it returns,
  // whatever it returns. Not idempotent: the plan's overlay names are new. After an error no disk
  // is on an overlay, unless the connection was lost: look.
  virtual absl::StatusOr<SnapshotResult> Snapshot(const SnapshotPlan& plan) = 0;
  // Makes sure that the guest is not frozen by us. OK when the VM is off, is gone or has no agent.
  virtual absl::Status Thaw(absl::string_view vm_uuid) = 0;

  // Where a disk stands between its overlay and its base.
  virtual absl::StatusOr<MergeStatus> GetMergeStatus(const OverlayDisk& disk) = 0;
  // Starts the merge of a running VM's disk into its named base. OK when it runs already.
  virtual absl::Status StartMerge(const OverlayDisk& disk) = 0;
  // Ends a merge that is kReady. UNAVAILABLE, reason MERGE_NOT_READY: ask again soon.
  virtual absl::Status Pivot(const OverlayDisk& disk) = 0;
  // Sets what is done for a merge that runs. Found and taken back also by a process that did not do
  // it; a VM that is off or gone has nothing to be taken back.
  virtual absl::Status HelpMerge(const OverlayDisk& disk, const MergeHelp& help) = 0;
  // Merges the disk of a VM that is off, all links with explicit formats, and keeps the overlay as
  // it is. Does not touch the definition: Restore() does.
  virtual absl::Status CommitOffline(const OverlayDisk& disk) = 0;

  // After the merge of all disks: puts the definition back where an offline merge left it on the
  // overlay, then proves that live and inactive XML name the bases and hold no job, and that the
  // inactive XML equals `before.inactive_xml` byte for byte; puts owners and modes back.
  // FAILED_PRECONDITION, reason VM_ON_OVERLAY, with what is wrong. DATA_LOSS, reason
  // BASE_NOT_FLUSHED: never ask again, the answer would be better than the truth.
  virtual absl::Status Restore(const VmDescription& before,
                               const std::vector<OverlayDisk>& disks) = 0;
  // Unlinks the overlay's file. Refused (VM_ON_OVERLAY) while any XML of any VM names it. Absent is
  // OK.
  virtual absl::Status RemoveOverlay(const OverlayDisk& disk) = 0;

  // The definition for a restore by `cp` and `virsh define` alone: disks as `file` in the folder of
  // the definition, no backing chain. `files` maps targets to file names.
  struct RestoreFile {
    std::string target;
    std::string file;
    std::string format;
  };
  virtual absl::StatusOr<std::string> RestoreXml(const VmDescription& vm,
                                                 const std::vector<RestoreFile>& files) = 0;

  // --- BackupMethod::kExport

  // Starts an export, and returns once the hypervisor has begun it or refused. Not idempotent: the
  // folder is new. VM_BUSY while the VM is being exported, by whomever. The begin may take minutes,
  // for the guest's sake: CANCELLED soon after `stop`, and then it is for EndExport to end it.
  virtual absl::Status StartExport(const ExportPlan& plan, const std::stop_token& stop) = 0;
  // How far the export into that folder is, from memory; kNone also after a restart of this
  // process, when one may still run.
  virtual absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) = 0;
  // Makes sure that nobody writes into that folder any more: cancels what runs, also what an
  // earlier process left running, and waits a bounded time for its end. OK when there is nothing,
  // when it is done, when the VM is gone, and while the VM is exported to another folder (it is
  // exported once at a time). UNAVAILABLE, EXPORT_NOT_ENDED: ask again.
  virtual absl::Status EndExport(const ExportPlan& plan) = 0;
};

// What a hypervisor derives from that has overlays, and no exports.
class OverlayHypervisor : public Hypervisor {
 public:
  BackupMethod method() const final { return BackupMethod::kOverlays; }
  absl::Status StartExport(const ExportPlan& plan, const std::stop_token& stop) final;
  absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) final;
  absl::Status EndExport(const ExportPlan& plan) final;
};

// What a hypervisor derives from that has exports, and no overlays. Nobody is frozen by us there:
// Thaw() has nothing to do.
class ExportHypervisor : public Hypervisor {
 public:
  BackupMethod method() const final { return BackupMethod::kExport; }
  absl::StatusOr<SnapshotResult> Snapshot(const SnapshotPlan& plan) final;
  absl::Status Thaw(absl::string_view vm_uuid) final;
  absl::StatusOr<MergeStatus> GetMergeStatus(const OverlayDisk& disk) final;
  absl::Status StartMerge(const OverlayDisk& disk) final;
  absl::Status Pivot(const OverlayDisk& disk) final;
  absl::Status HelpMerge(const OverlayDisk& disk, const MergeHelp& help) final;
  absl::Status CommitOffline(const OverlayDisk& disk) final;
  absl::Status Restore(const VmDescription& before, const std::vector<OverlayDisk>& disks) final;
  absl::Status RemoveOverlay(const OverlayDisk& disk) final;
  absl::StatusOr<std::string> RestoreXml(const VmDescription& vm,
                                         const std::vector<RestoreFile>& files) final;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERVISOR_H_
