#ifndef VMKEEP_COMMON_JSON_COMPLAINT_H_
#define VMKEEP_COMMON_JSON_COMPLAINT_H_

#include "absl/strings/string_view.h"

#include <string>

namespace vmkeep {

// What protobuf says of a text that is no JSON of a message, without what it quotes: a value may be
// a secret, and its cutting of the text takes several lines.
std::string JsonComplaint(absl::string_view protobuf_message);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_JSON_COMPLAINT_H_
