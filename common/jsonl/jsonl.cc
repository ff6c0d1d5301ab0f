#include "common/jsonl/jsonl.h"

#include "common/error.h"

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
                                  std::string(status.message())));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> LineReader::Next() {
  const size_t end = buffer_.find('\n');
  if (end == std::string::npos ? buffer_.size() > kMaxLineBytes : end > kMaxLineBytes) {
    return MakeError(absl::StatusCode::kResourceExhausted, "LINE_TOO_LONG",
                     absl::StrCat("a line is longer than ", kMaxLineBytes, " bytes"));
  }
  if (end == std::string::npos) return std::nullopt;
  std::optional<std::string> line(buffer_.substr(0, end));
  buffer_.erase(0, end + 1);
  return line;
}

}  // namespace vmkeep::jsonl
