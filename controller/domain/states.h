#ifndef VMKEEP_CONTROLLER_DOMAIN_STATES_H_
#define VMKEEP_CONTROLLER_DOMAIN_STATES_H_

#include "controller/domain/backup.h"

#include "absl/strings/string_view.h"

#include <array>

namespace vmkeep::controller {

struct Edge {
  BackupState from;
  BackupState to;
  bool operator==(const Edge&) const = default;
};

// All ways that a record may go. BUILDING -> REQUESTED is another try: after a step before the
// snapshot failed for a passing reason, or in another repository; UNRESOURCED -> REQUESTED is one
// that a user asked for.
inline constexpr std::array kTransitions = {
    Edge{BackupState::kRequested, BackupState::kBuilding},
    Edge{BackupState::kRequested, BackupState::kUnresourced},
    Edge{BackupState::kRequested, BackupState::kScrub},
    Edge{BackupState::kBuilding, BackupState::kRequested},
    Edge{BackupState::kBuilding, BackupState::kRunning},
    Edge{BackupState::kBuilding, BackupState::kUnresourced},
    Edge{BackupState::kBuilding, BackupState::kScrub},
    Edge{BackupState::kUnresourced, BackupState::kRequested},
    Edge{BackupState::kUnresourced, BackupState::kScrub},
    Edge{BackupState::kRunning, BackupState::kScrub},
    Edge{BackupState::kScrub, BackupState::kScrubbing},
    Edge{BackupState::kScrub, BackupState::kClosed},
    Edge{BackupState::kScrubbing, BackupState::kScrub},
    Edge{BackupState::kScrubbing, BackupState::kClosed},
};

inline constexpr std::array kAllStates = {BackupState::kRequested,   BackupState::kBuilding,
                                          BackupState::kUnresourced, BackupState::kRunning,
                                          BackupState::kScrub,       BackupState::kScrubbing,
                                          BackupState::kClosed};

constexpr bool MayGo(BackupState from, BackupState to) {
  for (const Edge& edge : kTransitions) {
    if (edge == Edge{from, to}) return true;
  }
  return false;
}

// Work on it is asked for or under way: one such backup per VM.
constexpr bool IsUnfinished(BackupState state) {
  return state == BackupState::kRequested || state == BackupState::kBuilding;
}
// Nothing will change it but a user.
constexpr bool IsSettled(BackupState state) {
  return state == BackupState::kUnresourced || state == BackupState::kRunning ||
         state == BackupState::kClosed;
}

absl::string_view StateName(BackupState state);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DOMAIN_STATES_H_
