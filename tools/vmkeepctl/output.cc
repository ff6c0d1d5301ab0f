#include "tools/vmkeepctl/output.h"

#include "common/error.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <utility>

namespace vmkeep::ctl {
namespace {

void Write(std::FILE* file, absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

std::string ErrorJson(const absl::Status& status) {
  const std::string metadata =
      absl::StrJoin(ErrorDetails(status), ",",
                    [](std::string* out, const std::pair<std::string, std::string>& entry) {
                      absl::StrAppend(out, JsonString(entry.first), ":", JsonString(entry.second));
                    });
  return absl::StrCat("{\"code\":", JsonString(absl::StatusCodeToString(status.code())),
                      ",\"reason\":", JsonString(ErrorReason(status)),
                      ",\"message\":", JsonString(status.message()), ",\"metadata\":{", metadata,
                      "}}\n");
}

}  // namespace

std::string JsonString(absl::string_view text) {
  google::protobuf::Value value;
  value.set_string_value(Printable(text));
  std::string json;
  (void)google::protobuf::util::MessageToJsonString(value, &json);
  return json;
}

std::string ToJson(const google::protobuf::Message& message, bool compact) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = !compact;
  std::string json;
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  if (json.empty() || json.back() != '\n') json += '\n';
  return json;
}

void Output::Result(const google::protobuf::Message& message, absl::string_view text) const {
  Write(stdout, json_ ? ToJson(message, false) : std::string(text));
}

void Output::Document(absl::string_view text) const { Write(stdout, text); }

void Output::Text(absl::string_view text) const {
  if (!json_) Write(stdout, text);
}

void Output::Note(absl::string_view text) const {
  if (!json_) Write(stderr, text);
}

void Output::Error(const absl::Status& status) const {
  if (json_) return Write(stderr, ErrorJson(status));
  const std::string reason = ErrorReason(status);
  Write(stderr,
        absl::StrCat("vmkeepctl: ", Printable(status.message()), " (",
                     reason.empty() ? absl::StatusCodeToString(status.code()) : Printable(reason),
                     ")\n"));
}

}  // namespace vmkeep::ctl
