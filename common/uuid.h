#ifndef VMKEEP_COMMON_UUID_H_
#define VMKEEP_COMMON_UUID_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <string>

namespace vmkeep {

// A UUIDv7 (RFC 9562): `now` in milliseconds, then random bits of the kernel. Lower case.
std::string NewUuid7(absl::Time now);
// A UUIDv4: random. For things that have no time, such as a repository or an executor.
std::string NewUuid4();

// True for 8-4-4-4-12 lower-case hex digits: the only form that may become part of a path.
bool IsUuid(absl::string_view text);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_UUID_H_
