#include "controller/domain/states.h"

namespace vmkeep::controller {

absl::string_view StateName(BackupState state) {
  switch (state) {
    case BackupState::kRequested:
      return "REQUESTED";
    case BackupState::kBuilding:
      return "BUILDING";
    case BackupState::kUnresourced:
      return "UNRESOURCED";
    case BackupState::kRunning:
      return "RUNNING";
    case BackupState::kScrub:
      return "SCRUB";
    case BackupState::kScrubbing:
      return "SCRUBBING";
    case BackupState::kClosed:
      return "CLOSED";
  }
  return "UNKNOWN";
}

}  // namespace vmkeep::controller
