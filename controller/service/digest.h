#ifndef VMKEEP_CONTROLLER_SERVICE_DIGEST_H_
#define VMKEEP_CONTROLLER_SERVICE_DIGEST_H_

#include "absl/strings/string_view.h"
#include <google/protobuf/message_lite.h>

#include <string>

namespace vmkeep::controller {

// SHA-256, lower-case hex.
std::string Sha256Hex(absl::string_view text);

// Of the message's bytes with its maps in one order: equal messages have equal digests, within one
// build.
std::string DigestOf(const google::protobuf::MessageLite& message);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_DIGEST_H_
