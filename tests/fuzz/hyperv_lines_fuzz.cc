// What a Hyper-V script writes to stdout, cut anywhere: whatever it is, an export is done only if
// it said so, once, and began.
#include "common/jsonl/jsonl.h"
#include "executor/hypervisor/hyperv/protocol.h"
#include "executor/hypervisor/hyperv/vm_look.h"
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <string>
#include <vector>

namespace vmkeep::executor::hyperv {
namespace {

constexpr process::ExitStatus kExit0{.code = 0, .signal = 0};
constexpr process::ExitStatus kExit1{.code = 1, .signal = 0};
const ScriptContext kContext{.doing = "export the VM", .vm = "web", .exports = true};

struct Heard {
  std::vector<wire::Line> lines;
  int64_t noise = 0;
  absl::Status verdict;
};

Heard Hear(absl::string_view script, absl::string_view stream, size_t step) {
  Protocol protocol(script);
  Heard heard;
  for (size_t at = 0; at < stream.size(); at += step) {
    for (wire::Line& line : protocol.Feed(stream.substr(at, step)))
      heard.lines.push_back(std::move(line));
  }
  heard.noise = protocol.noise().lines;
  VMKEEP_FUZZ_REQUIRE(protocol.noise().first.size() <= kMaxNoiseKept);
  for (const std::string& text : protocol.noise().first)
    VMKEEP_FUZZ_REQUIRE(text.size() <= kMaxNoiseBytes && text.find('\n') == std::string::npos);
  VMKEEP_FUZZ_REQUIRE(!protocol.Verdict(kExit1, "", kContext).ok());
  VMKEEP_FUZZ_REQUIRE(!protocol.Verdict(std::nullopt, "", kContext).ok());
  heard.verdict = protocol.Verdict(kExit0, "", kContext);
  return heard;
}

bool IsEnding(const wire::Line& line) {
  return line.has_done() || line.has_error() || line.has_cancelled();
}

int CountOf(const std::vector<wire::Line>& lines, bool (*is)(const wire::Line&)) {
  return static_cast<int>(std::count_if(lines.begin(), lines.end(), is));
}

// What the order of lines promises to whoever reads them.
void RequireOrder(absl::string_view script, const Heard& heard) {
  const auto& lines = heard.lines;
  if (!lines.empty()) VMKEEP_FUZZ_REQUIRE(lines.front().has_hello());
  VMKEEP_FUZZ_REQUIRE(CountOf(lines, [](const auto& line) { return line.has_hello(); }) <= 1);
  const int started = CountOf(lines, [](const auto& line) { return line.has_started(); });
  VMKEEP_FUZZ_REQUIRE(started <= (script == "export-vm" ? 1 : 0));
  const int endings = CountOf(lines, &IsEnding);
  VMKEEP_FUZZ_REQUIRE(endings == 0 || (endings == 1 && IsEnding(lines.back())));
  if (!heard.verdict.ok()) return;
  VMKEEP_FUZZ_REQUIRE(!lines.empty() && lines.back().has_done());
  VMKEEP_FUZZ_REQUIRE(script != "export-vm" || started == 1);
}

bool Listen(absl::string_view script, absl::string_view stream) {
  const Heard heard = Hear(script, stream, std::max<size_t>(1, stream.size()));
  RequireOrder(script, heard);
  const Heard cut = Hear(script, stream, 7);
  VMKEEP_FUZZ_REQUIRE(cut.lines.size() == heard.lines.size() && cut.noise == heard.noise);
  VMKEEP_FUZZ_REQUIRE(cut.verdict == heard.verdict);
  for (const wire::Line& line : heard.lines) {
    if (!line.has_vm()) continue;
    const absl::StatusOr<VmDescription> vm = DescriptionOf(line.vm());
    if (!vm.ok()) continue;
    for (const Disk& disk : vm->disks)
      VMKEEP_FUZZ_REQUIRE(!disk.format.empty() && IsAbsolutePath(disk.source));
  }
  return heard.verdict.ok();
}

}  // namespace
}  // namespace vmkeep::executor::hyperv

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view stream = vmkeep::fuzz::ToText(data, size);
  bool accepted = false;
  for (const char* script : {"list-vms", "inspect-vm", "export-vm", "end-export"})
    accepted = vmkeep::executor::hyperv::Listen(script, stream) || accepted;
  vmkeep::fuzz::NoteAccepted(accepted);
  return 0;
}
