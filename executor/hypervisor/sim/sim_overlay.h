#ifndef VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_OVERLAY_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_OVERLAY_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <string>

// The files of the simulation. An overlay is a text file, a line per write of the guest: the offset
// and the bytes in hex.
namespace vmkeep::executor {

absl::StatusOr<std::string> ReadSimFile(const std::string& path);
// Writes beside it, flushes, renames.
absl::Status ReplaceSimFile(const std::string& path, absl::string_view content);

// Makes an empty overlay; an existing file is refused.
absl::Status CreateOverlay(const std::string& path);
absl::Status AppendWrite(const std::string& overlay, int64_t offset, absl::string_view bytes);
// Adds the line to a text file and flushes.
absl::Status AppendLine(const std::string& path, absl::string_view line);
// Writes straight to an image.
absl::Status WriteImage(const std::string& image, int64_t offset, absl::string_view bytes);
// Puts every write of the overlay into the base, in order, and flushes. Idempotent.
absl::Status ApplyOverlay(const std::string& overlay, const std::string& base);
// Whether the base has it all.
absl::StatusOr<bool> IsApplied(const std::string& overlay, const std::string& base);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_OVERLAY_H_
