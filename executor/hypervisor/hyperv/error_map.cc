#include "executor/hypervisor/hyperv/error_map.h"

#include "common/utf8.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/hyperv/errors.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <vector>

namespace vmkeep::executor::hyperv {
namespace {

constexpr size_t kMaxSaidBytes = 300;

// Return values of the virtualization provider's methods (Msvm_VirtualSystemManagementService).
enum Wmi : uint32_t {
  kWmiAccessDenied = 32769,
  kWmiTimeout = 32772,
  kWmiInUse = 32774,
  kWmiInvalidState = 32775,
  kWmiNotAvailable = 32777,
};

// Errors of Windows itself (winerror.h), which come as HRESULTs of the facility WIN32. Which of
// them an export job hands through in which case is [open].
enum Win32 : uint32_t {
  kAccessDenied = 5,
  kHandleDiskFull = 39,
  kBadNetPath = 53,
  kUnexpectedNetError = 59,
  kNetNameDeleted = 64,
  kBadNetName = 67,
  kDiskFull = 112,
  kNetworkUnreachable = 1231,
};
constexpr uint32_t kWin32Facility = 0x80070000;
// The errors of VSS, VSS_E_*: 0x800423xx.
constexpr uint32_t kVss = 0x80042300;

// A message as part of a sentence: one line, cut, with the code.
std::string Said(const wire::Error& error) {
  std::string text = ToUtf8(error.message().substr(0, kMaxSaidBytes));
  for (char& c : text) c = absl::ascii_iscntrl(static_cast<unsigned char>(c)) ? ' ' : c;
  absl::StripAsciiWhitespace(&text);
  if (text.empty()) text = "it said nothing more";
  if (error.code() == 0) return text;
  return absl::StrCat(text, ", code 0x", absl::Hex(error.code(), absl::kZeroPad8));
}

// OK: the code says nothing that is known.
absl::Status ByWmi(const wire::Error& error, const ScriptContext& context) {
  switch (error.code()) {
    case kWmiAccessDenied:
      return context.exports ? error::ExportAccessDenied(context.vm, Said(error))
                             : error::HyperVAccessDenied(Said(error));
    case kWmiInUse:
      return error::VmBusy(context.vm, absl::StrCat("something of Hyper-V's (", Said(error), ")"));
    case kWmiInvalidState:
      return error::VmInvalidState(context.vm, Said(error));
    case kWmiTimeout:
    case kWmiNotAvailable:
      return error::HypervisorUnavailable(Said(error));
    default:
      return absl::OkStatus();
  }
}

absl::Status ByWin32(const wire::Error& error, const ScriptContext& context) {
  if ((error.code() & 0xFFFF0000) != kWin32Facility) return absl::OkStatus();
  switch (error.code() & 0xFFFF) {
    case kAccessDenied:
      return context.exports ? error::ExportAccessDenied(context.vm, Said(error))
                             : error::HyperVAccessDenied(Said(error));
    case kHandleDiskFull:
    case kDiskFull:
      return context.exports ? error::ExportFull(context.vm, Said(error)) : absl::OkStatus();
    case kBadNetPath:
    case kUnexpectedNetError:
    case kNetNameDeleted:
    case kBadNetName:
    case kNetworkUnreachable:
      // Otherwise it is the share of one of the VM's own disks.
      return context.exports ? error::RepositoryUnreachable(context.vm, Said(error))
                             : error::HypervisorUnavailable(Said(error));
    default:
      return absl::OkStatus();
  }
}

// The guest could not make its data consistent, and nothing less was allowed. That a job hands
// through the guest's code is [open].
absl::Status ByVss(const wire::Error& error, const ScriptContext& context) {
  if ((error.code() & 0xFFFFFF00) != kVss || !context.exports) return absl::OkStatus();
  return error::QuiesceFailed(context.vm, Said(error));
}

// The script's own reasons; OK for those that say no more than the code does.
absl::Status ByReason(const wire::Error& error, const ScriptContext& context) {
  const std::string& reason = error.reason();
  if (reason == "NO_HYPERV") return error::HyperVMissing(Said(error));
  if (reason == "NOT_FOUND") return error::VmNotFound(context.vm);
  if (reason == "AMBIGUOUS") {
    return error::VmAmbiguous(context.vm, {error.ids().begin(), error.ids().end()});
  }
  if (reason == "BUSY") return error::VmBusy(context.vm, Said(error));
  // It was made a moment ago: what it is on has vanished. It is never made again here.
  if (reason == "NOT_A_FOLDER") return error::RepositoryUnreachable(context.vm, Said(error));
  if (reason == "STILL_EXPORTING") return error::ExportNotEnded(context.vm, Said(error));
  return absl::OkStatus();
}

}  // namespace

absl::Status FromScript(const wire::Error& error, const ScriptContext& context) {
  for (const auto by : {&ByReason, &ByWmi, &ByWin32, &ByVss}) {
    if (absl::Status known = by(error, context); !known.ok()) return known;
  }
  const std::string reason = error.reason().empty() ? "no reason" : ToUtf8(error.reason());
  return error::HypervisorFailed(context.doing, absl::StrCat(reason, ": ", Said(error)));
}

}  // namespace vmkeep::executor::hyperv
