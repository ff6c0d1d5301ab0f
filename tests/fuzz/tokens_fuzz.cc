// What a client hands back: page and resume tokens, and the position inside of one.
#include "controller/service/tokens.h"

#include "common/error.h"
#include "tests/fuzz/fuzz.h"

#include <cstring>
#include <string>

namespace vmkeep::controller {
namespace {

// Far longer than any of ours, and not yet refused for its length.
constexpr size_t kMaxCursorBytes = 256;

TokenScope Scope() { return {"484b89a0-4ae5-4724-9257-af5508b477a5", "digest of a query"}; }
TokenScope OtherQuery() { return {Scope().store_id, "digest of another"}; }
TokenScope OtherStore() { return {"00000000-4ae5-4724-9257-af5508b477a5", Scope().query_digest}; }

void RequireRefusal(const absl::Status& status, absl::string_view reason) {
  VMKEEP_FUZZ_REQUIRE(ErrorReason(status) == reason && fuzz::IsOneSentence(status));
  VMKEEP_FUZZ_REQUIRE(!fuzz::Quotes(status, fuzz::kSecret));
}

// Any text as a token. One that holds was made for this query of this store, and is of one kind.
bool TakeToken(absl::string_view token) {
  const absl::StatusOr<std::string> page = ParsePageToken(Scope(), token);
  const absl::StatusOr<int64_t> resume = ParseResumeToken(Scope(), token);
  VMKEEP_FUZZ_REQUIRE(!page.ok() || !resume.ok());
  if (!page.ok()) RequireRefusal(page.status(), "BAD_PAGE_TOKEN");
  if (!resume.ok()) RequireRefusal(resume.status(), "BAD_RESUME_TOKEN");
  for (const TokenScope& scope : {OtherQuery(), OtherStore()}) {
    VMKEEP_FUZZ_REQUIRE(!page.ok() || !ParsePageToken(scope, token).ok());
    VMKEEP_FUZZ_REQUIRE(!resume.ok() || !ParseResumeToken(scope, token).ok());
  }
  return page.ok() || resume.ok();
}

// Any text as a cursor comes back from its token.
void TakeCursor(absl::string_view cursor) {
  if (cursor.size() > kMaxCursorBytes) return;
  const std::string token = MakePageToken(Scope(), cursor);
  const absl::StatusOr<std::string> back = ParsePageToken(Scope(), token);
  VMKEEP_FUZZ_REQUIRE(back.ok() && *back == cursor);
  VMKEEP_FUZZ_REQUIRE(TakeToken(token));
}

// Any text as the position in a page of backups.
bool TakePosition(absl::string_view cursor) {
  const absl::StatusOr<PagePosition> position = ParsePosition(cursor);
  if (!position.ok()) {
    RequireRefusal(position.status(), "BAD_PAGE_TOKEN");
    return false;
  }
  const absl::StatusOr<PagePosition> again = ParsePosition(FormatPosition(*position));
  VMKEEP_FUZZ_REQUIRE(again.ok() && again->id == position->id);
  VMKEEP_FUZZ_REQUIRE(again->create_time == position->create_time);
  return true;
}

void TakeRevision(int64_t revision) {
  const std::string token = MakeResumeToken(Scope(), revision);
  const absl::StatusOr<int64_t> back = ParseResumeToken(Scope(), token);
  VMKEEP_FUZZ_REQUIRE(back.ok() == (revision >= 0));
  VMKEEP_FUZZ_REQUIRE(!back.ok() || *back == revision);
}

}  // namespace
}  // namespace vmkeep::controller

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace controller = vmkeep::controller;
  const absl::string_view text = vmkeep::fuzz::ToText(data, size);
  const bool token = controller::TakeToken(text);
  const bool position = controller::TakePosition(text);
  vmkeep::fuzz::NoteAccepted(token || position);
  controller::TakeCursor(text);
  int64_t revision = 0;
  if (size >= sizeof(revision)) std::memcpy(&revision, data, sizeof(revision));
  controller::TakeRevision(revision);
  return 0;
}
