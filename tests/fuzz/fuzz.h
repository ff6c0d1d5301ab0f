#ifndef VMKEEP_TESTS_FUZZ_FUZZ_H_
#define VMKEEP_TESTS_FUZZ_FUZZ_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <cstddef>
#include <cstdint>

// What a fuzz target is made of. Each <name>_fuzz.cc defines LLVMFuzzerTestOneInput() for one
// parser of bytes from outside: it feeds them, and requires what has to hold whatever they are.
// libFuzzer drives it under clang (tools/fuzz), replay_main.cc over the committed corpus in every
// build.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Ends the process where a property does not hold: the fuzzer keeps the input.
#define VMKEEP_FUZZ_REQUIRE(condition) \
  ((condition) ? static_cast<void>(0) : ::vmkeep::fuzz::Fail(#condition, __FILE__, __LINE__))

namespace vmkeep::fuzz {

[[noreturn]] void Fail(const char* what, const char* file, int line);

inline absl::string_view ToText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Once per input: whether the parser took it. The names of corpus files claim it.
void NoteAccepted(bool accepted);
bool WasAccepted();

// Stands in the corpus where a password would: no error may quote it, neither in its message nor in
// its details.
inline constexpr absl::string_view kSecret = "S3cret";
bool Quotes(const absl::Status& status, absl::string_view text);

// A message that a person reads: one line, and not the input all over again.
bool IsOneSentence(const absl::Status& status);

}  // namespace vmkeep::fuzz

#endif  // VMKEEP_TESTS_FUZZ_FUZZ_H_
