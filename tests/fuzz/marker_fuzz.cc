// The marker of a repository: it comes from a mount that others can write.
#include "executor/worker/marker.h"

#include "common/error.h"
#include "common/uuid.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace worker = vmkeep::worker;
  const auto id = worker::ParseMarker(vmkeep::fuzz::ToText(data, size), "/mnt");
  vmkeep::fuzz::NoteAccepted(id.ok());
  if (!id.ok()) {
    VMKEEP_FUZZ_REQUIRE(vmkeep::fuzz::IsOneSentence(id.status()));
    VMKEEP_FUZZ_REQUIRE(vmkeep::ErrorReason(id.status()) == "REPOSITORY_MARKER_INVALID");
    return 0;
  }
  VMKEEP_FUZZ_REQUIRE(vmkeep::IsUuid(*id));
  const std::string text = worker::MarkerText(*id, absl::UnixEpoch());
  VMKEEP_FUZZ_REQUIRE(worker::ParseMarker(text, "/mnt").value_or("") == *id);
  return 0;
}
