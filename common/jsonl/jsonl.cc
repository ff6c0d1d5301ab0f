#include "common/jsonl/jsonl.h"

#include "common/error.h"
#include "common/json_complaint.h"

#include "absl/strings/str_cat.h"
#include <google/protobuf/util/json_util.h>

namespace vmkeep::jsonl {

absl::StatusOr<std::string> Encode(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string line;
  if (auto status = google::protobuf::util::MessageToJsonString(message, &line, options);
      !status.ok()) {
    return MakeError(absl::StatusCode::kInternal, "BAD_MESSAGE",
                     absl::StrCat("cannot write ", message.GetTypeName(),
                                  " as JSON: ", std::string(status.message())));
  }
  line.push_back('\n');
  return line;
}

absl::Status Decode(absl::string_view line, google::protobuf::Message* message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const google::protobuf::StringPiece text(line.data(), line.size());
  if (auto status = google::protobuf::util::JsonStringToMessage(text, message, options);
      !status.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_LINE",
                     absl::StrCat("not a line of ", message->GetTypeName(), ": ",
                                  JsonComplaint(std::string(status.message()))));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> LineReader::Next() {
  const size_t end = buffer_.find('\n', searched_);
  const size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
  if (length > kMaxLineBytes) {
    return MakeError(absl::StatusCode::kResourceExhausted, "LINE_TOO_LONG",
                     absl::StrCat("a line is longer than ", kMaxLineBytes, " bytes"));
  }
  if (end == std::string::npos) {
    // Only here, once for all lines that one Append() brought: each byte is moved a few times at
    // most.
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched_ = buffer_.size();
    return std::nullopt;
  }
  std::optional<std::string> line(buffer_.substr(begin_, length));
  begin_ = searched_ = end + 1;
  return line;
}

}  // namespace vmkeep::jsonl
