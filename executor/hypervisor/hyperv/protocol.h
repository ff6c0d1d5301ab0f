#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_PROTOCOL_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_PROTOCOL_H_

#include "common/process/process.h"
#include "executor/hypervisor/hyperv/error_map.h"
#include "vmkeep/hyperv/v1/script.pb.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// The lines of a script (protos/vmkeep/hyperv/v1/script.proto), from bytes to a verdict: pure.
namespace vmkeep::executor::hyperv {

// "list-vms" and so on: the script that answers this request; empty for a cancel.
absl::string_view ScriptOf(const wire::Request& request);

// What stood on stdout and is no line of the protocol, or not in its place.
struct Noise {
  int64_t lines = 0;
  std::vector<std::string> first;  // kMaxNoiseKept at the most, cut to kMaxNoiseBytes, printable
};
inline constexpr size_t kMaxNoiseKept = 3;
inline constexpr size_t kMaxNoiseBytes = 200;

// One script's stdout. It takes: `hello` first, of protocol 1 and of this script; then `vm`,
// `progress` and, of an export, `started` once and before any progress; then one ending. All else
// is noise, which is counted and skipped - also a line longer than jsonl::kMaxLineBytes, and one
// that the end of the stream cuts off. What cannot be noise is a defect that Verdict() tells: a
// hello of something else, a second ending, an export that is done and never started.
//
// Not thread-safe.
class Protocol {
 public:
  explicit Protocol(absl::string_view script) : script_(script) {}

  // Takes bytes, cut anywhere; the lines that became complete and are taken, endings included, in
  // order. None once broken().
  std::vector<wire::Line> Feed(absl::string_view bytes);

  bool said_hello() const { return said_hello_; }
  // The ending has come: nothing is expected any more.
  bool ended() const { return ending_.body_case() != wire::Line::BODY_NOT_SET; }
  // It said hello as something else: there is no use in listening.
  bool broken() const { return broken_; }
  const Noise& noise() const { return noise_; }

  // What became of the script, which ended with `exit` (nothing: it did not, and was killed). OK
  // for `done` and exit status 0 alone. CANCELLED, reason CANCELLED, for `cancelled`; what
  // FromScript() makes of an `error`; SCRIPT_PROTOCOL for a defect; SCRIPT_FAILED else, with the
  // end of what it wrote to stderr.
  absl::Status Verdict(const std::optional<process::ExitStatus>& exit, absl::string_view err,
                       const ScriptContext& context) const;

 private:
  void TakeLine(absl::string_view text, std::vector<wire::Line>& taken);
  bool Accept(const wire::Line& line);
  bool AcceptHello(const wire::Hello& hello);
  bool AcceptEnding(const wire::Line& line);
  void AddNoise(absl::string_view text);
  void SetDefect(std::string defect);

  const std::string script_;
  std::string partial_;  // of the line under way, kMaxLineBytes at the most
  bool too_long_ = false;
  bool said_hello_ = false;
  bool started_ = false;
  bool broken_ = false;
  wire::Line ending_;
  std::string defect_;  // the first; empty: none
  Noise noise_;
};

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_PROTOCOL_H_
