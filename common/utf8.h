#ifndef VMKEEP_COMMON_UTF8_H_
#define VMKEEP_COMMON_UTF8_H_

#include "absl/strings/string_view.h"

#include <string>

namespace vmkeep {

// The text with a '?' for each byte that is part of no UTF-8 character. For texts that may quote
// what came from outside and go into a message: protobuf writes others, and then refuses to read
// the whole message.
std::string ToUtf8(absl::string_view text);
// True when it would change nothing.
bool IsUtf8(absl::string_view text);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_UTF8_H_
