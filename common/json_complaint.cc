#include "common/json_complaint.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace vmkeep {

// Seen with protobuf 3.21: "(copy.stall_seconds): invalid value <the value> for type TYPE_INT64" of
// a value, "Expected : between key:value pair.\n<the text around it>" of the syntax. Keys of a map
// are in quotes in both.
std::string JsonComplaint(absl::string_view protobuf_message) {
  absl::string_view text = protobuf_message.substr(0, protobuf_message.find_first_of("\n\"'"));
  if (absl::ConsumePrefix(&text, "(")) {
    return absl::StrCat("the value of ", text.substr(0, text.find_first_of(")[")),
                        " is of another kind");
  }
  (void)absl::ConsumePrefix(&text, ": ");
  return std::string(absl::StripAsciiWhitespace(absl::StripSuffix(text, ".")));
}

}  // namespace vmkeep
