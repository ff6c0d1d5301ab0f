// Takes the place of common/uuid.cc in the simulation, at link time: ids that the seed decides, so
// that a trace and the order of records can be made again. Nothing else is different.
#include "common/uuid.h"

#include "tests/simulation/uuid.h"

#include "absl/strings/str_format.h"

namespace vmkeep {
namespace {

uint64_t next_id = 0;

std::string Format(uint64_t head, int version, uint64_t tail) {
  return absl::StrFormat("%08x-%04x-%d000-8000-%012x", head >> 16, head & 0xFFFF, version, tail);
}

}  // namespace

std::string NewUuid7(absl::Time now) {
  return Format(static_cast<uint64_t>(absl::ToUnixMillis(now)) & 0xFFFFFFFFFFFF, 7, ++next_id);
}
std::string NewUuid4() { return Format(0, 4, ++next_id); }
bool IsUuid(absl::string_view text) { return text.size() == 36; }

namespace sim {
void ResetUuids() { next_id = 0; }
}  // namespace sim

}  // namespace vmkeep
