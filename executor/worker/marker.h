#ifndef VMKEEP_EXECUTOR_WORKER_MARKER_H_
#define VMKEEP_EXECUTOR_WORKER_MARKER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <string>

// The text of a repository's marker. Pure.
namespace vmkeep::worker {

inline constexpr char kMarker[] = ".vmkeep-repository";
inline constexpr size_t kMaxMarkerBytes = 4096;

// JSON, one line.
std::string MarkerText(absl::string_view id, absl::Time created);

// The repository's id. REPOSITORY_MARKER_INVALID for anything that is no marker of this format;
// `root` is the repository's, for the error. Unknown fields are ignored.
absl::StatusOr<std::string> ParseMarker(absl::string_view text, absl::string_view root);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_MARKER_H_
