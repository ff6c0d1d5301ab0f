#ifndef VMKEEP_EXECUTOR_WORKER_TARGET_H_
#define VMKEEP_EXECUTOR_WORKER_TARGET_H_

#include "absl/strings/string_view.h"

#include <string>

// What is behind a repository's path, in words: a backup that a person believes on the NAS and that
// fills the host's own disk is found by reading them. Only words: whether a repository may be used
// is for its marker to say. docs/adr/0074.
namespace vmkeep::worker {

struct Target {
  std::string words;   // empty when it is not known
  std::string remedy;  // a sentence; empty when there is nothing to put right
};

// As this host's system sees it, in this process's logon session. Never an error.
Target LookAtTarget(const std::string& path);

// What GetDriveTypeW() says of a drive.
enum class DriveKind { kUnknown, kMissing, kFixed, kNetwork, kOther };

// What a Windows host was asked. Whatever could not be had is empty.
struct TargetFacts {
  std::string path = {};  // the repository's
  DriveKind drive = DriveKind::kUnknown;
  std::string dos_device = {};   // QueryDosDeviceW() of the drive: "\??\C:\x" for a subst
  std::string unc = {};          // the share that a drive is mapped to
  std::string file_system = {};  // GetVolumeInformationW()
  char system_drive = 'C';
};
Target DescribeTarget(const TargetFacts& facts);

// Of the mount that a path of Linux lies on, by the text of /proc/self/mountinfo: "nfs4
// nas:/backup-p". Links in the path are not resolved.
std::string MountOf(absl::string_view mount_info, absl::string_view path);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_TARGET_H_
