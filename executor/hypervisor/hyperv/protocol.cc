#include "executor/hypervisor/hyperv/protocol.h"

#include "common/jsonl/jsonl.h"
#include "common/utf8.h"
#include "executor/hypervisor/hyperv/errors.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include <algorithm>
#include <utility>

namespace vmkeep::executor::hyperv {
namespace {

using wire::Line;
using wire::Request;

constexpr int kProtocol = 1;
constexpr size_t kMaxErrBytes = 400;
// Windows PowerShell may write it before its first line, when it is told to write UTF-8 [open].
constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string Printable(absl::string_view text) {
  std::string result = ToUtf8(text);
  for (char& c : result) c = absl::ascii_iscntrl(static_cast<unsigned char>(c)) ? ' ' : c;
  absl::StripAsciiWhitespace(&result);
  return result;
}

std::string WithErr(std::string how, absl::string_view err) {
  err = absl::StripAsciiWhitespace(err);
  const size_t skipped = err.size() > kMaxErrBytes ? err.size() - kMaxErrBytes : 0;
  if (!err.empty()) absl::StrAppend(&how, "; it wrote: ", Printable(err.substr(skipped)));
  return how;
}

}  // namespace

absl::string_view ScriptOf(const Request& request) {
  switch (request.verb_case()) {
    case Request::kListVms:
      return "list-vms";
    case Request::kInspectVm:
      return "inspect-vm";
    case Request::kExportVm:
      return "export-vm";
    case Request::kEndExport:
      return "end-export";
    case Request::kCancel:
    case Request::VERB_NOT_SET:
      break;
  }
  return {};
}

std::vector<Line> Protocol::Feed(absl::string_view bytes) {
  std::vector<Line> taken;
  while (!bytes.empty() && !broken_) {
    const size_t end = bytes.find('\n');
    const absl::string_view piece = bytes.substr(0, end);
    const size_t room = jsonl::kMaxLineBytes - partial_.size();
    too_long_ = too_long_ || piece.size() > room;
    // The start of a line that is too long says what it was.
    partial_.append(piece.data(), std::min(piece.size(), room));
    if (end == absl::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    const std::string line = std::exchange(partial_, {});
    if (std::exchange(too_long_, false)) {
      AddNoise(line);
    } else {
      TakeLine(line, taken);
    }
  }
  return taken;
}

void Protocol::TakeLine(absl::string_view text, std::vector<Line>& taken) {
  absl::string_view json = absl::StripAsciiWhitespace(text);
  if (!said_hello_) absl::ConsumePrefix(&json, kByteOrderMark);
  if (json.empty()) return;
  Line line;
  if (jsonl::Decode(json, &line).ok() && Accept(line)) {
    taken.push_back(std::move(line));
  } else {
    AddNoise(text);
  }
}

bool Protocol::Accept(const Line& line) {
  if (line.has_hello()) return AcceptHello(line.hello());
  if (!said_hello_) return false;
  switch (line.body_case()) {
    case Line::kVm:
      return !ended();
    case Line::kStarted:
      if (ended() || started_ || script_ != "export-vm") return false;
      return started_ = true;
    case Line::kProgress:
      return !ended() && (started_ || script_ != "export-vm");
    case Line::kDone:
    case Line::kError:
    case Line::kCancelled:
      return AcceptEnding(line);
    case Line::kHello:
    case Line::BODY_NOT_SET:
      break;
  }
  return false;
}

bool Protocol::AcceptHello(const wire::Hello& hello) {
  if (said_hello_) return false;
  if (hello.protocol() != kProtocol || hello.script() != script_) {
    broken_ = true;
    SetDefect(absl::StrCat("says that it is ", Printable(hello.script().substr(0, kMaxNoiseBytes)),
                           " of protocol ", hello.protocol(), ", not of protocol ", kProtocol));
    return false;
  }
  said_hello_ = true;
  return true;
}

bool Protocol::AcceptEnding(const Line& line) {
  if (ended()) {
    SetDefect("wrote a second ending: which one is true?");
    return false;
  }
  if (line.has_done() && script_ == "export-vm" && !started_) {
    SetDefect("says that an export is done that it never started");
  }
  ending_ = line;
  return true;
}

void Protocol::AddNoise(absl::string_view text) {
  ++noise_.lines;
  if (noise_.first.size() >= kMaxNoiseKept) return;
  noise_.first.push_back(Printable(text.substr(0, kMaxNoiseBytes)));
}

void Protocol::SetDefect(std::string defect) {
  if (defect_.empty()) defect_ = std::move(defect);
}

absl::Status Protocol::Verdict(const std::optional<process::ExitStatus>& exit,
                               absl::string_view err, const ScriptContext& context) const {
  if (!defect_.empty()) return error::ScriptProtocol(script_, WithErr(defect_, err));
  const std::string how = exit ? exit->ToString() : "killed, as it did not end";
  switch (ending_.body_case()) {
    case Line::kError:
      return FromScript(ending_.error(), context);
    case Line::kCancelled:
      return error::ScriptCancelled(script_);
    case Line::kDone:
      if (exit && exit->ok()) return absl::OkStatus();
      return error::ScriptFailed(
          script_,
          WithErr(absl::StrCat("said that it was done, but its end was another: ", how), err));
    default:
      // Also for exit status 0: it is what a PowerShell gives that has done nothing at all.
      return error::ScriptFailed(
          script_, WithErr(absl::StrCat("ended without ",
                                        said_hello_ ? "saying how it went" : "its first line", " (",
                                        how, ")"),
                           err));
  }
}

}  // namespace vmkeep::executor::hyperv
