#include "tests/fuzz/fuzz.h"

#include "absl/strings/match.h"

#include <cstdio>
#include <cstdlib>

namespace vmkeep::fuzz {
namespace {

constexpr size_t kMaxSentenceBytes = 500;

bool accepted_last = false;

}  // namespace

void Fail(const char* what, const char* file, int line) {
  (void)std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  std::abort();
}

void NoteAccepted(bool accepted) { accepted_last = accepted; }

bool WasAccepted() { return accepted_last; }

bool Quotes(const absl::Status& status, absl::string_view text) {
  return absl::StrContains(status.ToString(absl::StatusToStringMode::kWithEverything), text);
}

bool IsOneSentence(const absl::Status& status) {
  return !status.message().empty() && status.message().size() <= kMaxSentenceBytes &&
         !absl::StrContains(status.message(), '\n');
}

}  // namespace vmkeep::fuzz
