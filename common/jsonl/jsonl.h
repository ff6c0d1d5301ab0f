#ifndef VMKEEP_COMMON_JSONL_JSONL_H_
#define VMKEEP_COMMON_JSONL_JSONL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/message.h>

#include <optional>
#include <string>

// JSON lines of proto messages: one object a line, proto3 JSON with the field names of the .proto
// file.
namespace vmkeep::jsonl {

// A longer line is an error: memory is bounded whatever the peer sends.
inline constexpr size_t kMaxLineBytes = 8 << 20;

// One line, '\n' included.
absl::StatusOr<std::string> Encode(const google::protobuf::Message& message);
// INVALID_ARGUMENT, reason BAD_LINE, for anything that is not one object of this message; unknown
// fields are ignored, so that a newer peer can be read. The error quotes nothing of the line: it
// may hold domain XML with secrets.
absl::Status Decode(absl::string_view line, google::protobuf::Message* message);

// Cuts a byte stream into lines. Not thread-safe.
class LineReader {
 public:
  // Takes what was read from the peer.
  void Append(absl::string_view bytes) { buffer_.append(bytes.data(), bytes.size()); }
  // The next whole line without '\n', nothing when there is none yet. RESOURCE_EXHAUSTED, reason
  // LINE_TOO_LONG, from the moment a line outgrows kMaxLineBytes; the reader is of no use after
  // that.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  std::string buffer_;
  size_t begin_ = 0;     // of the next line
  size_t searched_ = 0;  // there is no '\n' from `begin_` to here
};

}  // namespace vmkeep::jsonl

#endif  // VMKEEP_COMMON_JSONL_JSONL_H_
