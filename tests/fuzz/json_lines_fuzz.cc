// The lines between an executor and its worker, both ways, in a stream that is cut anywhere.
#include "common/jsonl/jsonl.h"
#include "tests/fuzz/fuzz.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/strings/str_cat.h"
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::jsonl {
namespace {

// The stream's lines when it comes in pieces of `step` bytes.
std::vector<std::string> Cut(absl::string_view stream, size_t step) {
  LineReader reader;
  std::vector<std::string> lines;
  for (size_t at = 0; at < stream.size(); at += step) {
    reader.Append(stream.substr(at, step));
    while (true) {
      const absl::StatusOr<std::optional<std::string>> line = reader.Next();
      VMKEEP_FUZZ_REQUIRE(line.ok());  // an input is shorter than the longest line
      if (!*line) break;
      lines.push_back(**line);
    }
  }
  return lines;
}

// No byte is lost, wherever the stream is cut.
std::vector<std::string> Lines(absl::string_view stream) {
  std::vector<std::string> lines = Cut(stream, std::max<size_t>(1, stream.size()));
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, line, "\n");
  VMKEEP_FUZZ_REQUIRE(text == stream.substr(0, text.size()));
  VMKEEP_FUZZ_REQUIRE(stream.find('\n', text.size()) == absl::string_view::npos);
  VMKEEP_FUZZ_REQUIRE(Cut(stream, 7) == lines);
  return lines;
}

bool SaysSomething(const worker::v1::Request& request) {
  return request.job_case() != worker::v1::Request::JOB_NOT_SET;
}
bool SaysSomething(const worker::v1::Response& response) {
  return response.body_case() != worker::v1::Response::BODY_NOT_SET;
}

// Whether the line is one of these: what is unknown in it is ignored, so it has to say something
// too.
template <typename Message>
bool Take(const std::string& line) {
  Message message;
  if (const absl::Status status = Decode(line, &message); !status.ok()) {
    // A line to the worker holds domain XML with passwords.
    VMKEEP_FUZZ_REQUIRE(!fuzz::Quotes(status, fuzz::kSecret));
    VMKEEP_FUZZ_REQUIRE(fuzz::IsOneSentence(status));
    return false;
  }
  const absl::StatusOr<std::string> text = Encode(message);
  VMKEEP_FUZZ_REQUIRE(text.ok() && text->find('\n') == text->size() - 1);
  Message again;
  VMKEEP_FUZZ_REQUIRE(Decode(*text, &again).ok());
  VMKEEP_FUZZ_REQUIRE(google::protobuf::util::MessageDifferencer::Equals(again, message));
  return SaysSomething(message);
}

}  // namespace
}  // namespace vmkeep::jsonl

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace worker = vmkeep::worker::v1;
  const std::vector<std::string> lines = vmkeep::jsonl::Lines(vmkeep::fuzz::ToText(data, size));
  bool accepted = !lines.empty();
  for (const std::string& line : lines) {
    const bool request = vmkeep::jsonl::Take<worker::Request>(line);
    const bool response = vmkeep::jsonl::Take<worker::Response>(line);
    accepted = accepted && (request || response);
  }
  vmkeep::fuzz::NoteAccepted(accepted);
  return 0;
}
