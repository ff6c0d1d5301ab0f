#ifndef VMKEEP_TOOLS_VMKEEPCTL_OUTPUT_H_
#define VMKEEP_TOOLS_VMKEEPCTL_OUTPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/message.h>

#include <string>

namespace vmkeep::ctl {

// Proto JSON with the field names of the .proto; fields without presence are always there, so that
// a script finds an empty list instead of nothing. One line when `compact`, else indented. Ends
// with a line break.
std::string ToJson(const google::protobuf::Message& message, bool compact);

// `text` as a JSON string with its quotes; what is not UTF-8 in it becomes "?".
std::string JsonString(absl::string_view text);

// Where results and errors go: results to stdout, errors to stderr; text for people or JSON for
// programs.
class Output {
 public:
  explicit Output(bool json) : json_(json) {}
  bool json() const { return json_; }

  // The result of a command: `message` as JSON, or `text`.
  void Result(const google::protobuf::Message& message, absl::string_view text) const;
  // To stdout as it is, with JSON too: scripts, manual pages, and JSON that is no message.
  void Document(absl::string_view text) const;
  // Text for people only: nothing with JSON.
  void Text(absl::string_view text) const;
  void Note(absl::string_view text) const;  // the same, to stderr
  // "vmkeepctl: <message> (<reason>)", or {"code", "reason", "message", "metadata"} on one line.
  void Error(const absl::Status& status) const;

 private:
  const bool json_;
};

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_OUTPUT_H_
