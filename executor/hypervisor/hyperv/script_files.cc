#include "executor/hypervisor/hyperv/script_files.h"

#include "common/digest/digest.h"
#include "common/status_macros.h"
#include "executor/hypervisor/hyperv/errors.h"
#include "executor/hypervisor/hyperv/script_digests.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <array>
#include <fstream>

namespace vmkeep::executor::hyperv {
namespace {

constexpr std::array<absl::string_view, 5> kNeeded = {
    "common.ps1", "list-vms.ps1", "inspect-vm.ps1", "export-vm.ps1", "end-export.ps1"};
// Many times what a script is long: one that was replaced may be of any length.
constexpr std::streamsize kMaxScriptBytes = 1 << 20;

absl::Status CheckScript(const std::string& path, absl::string_view digest) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return error::ScriptTampered(path, "is missing, or cannot be read");
  std::string text(static_cast<size_t>(kMaxScriptBytes) + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.bad()) return error::ScriptTampered(path, "cannot be read");
  if (digest::ToHex(digest::Hash(absl::string_view(text))) != digest) {
    return error::ScriptTampered(path, "is not the one that this executor was built with");
  }
  return absl::OkStatus();
}

}  // namespace

ScriptDigests BuiltScripts() {
  ScriptDigests digests;
  for (const auto& [file, digest] : kScriptDigests) digests.emplace(file, digest);
  return digests;
}

absl::Status CheckScripts(const std::string& folder, const ScriptDigests& digests) {
  for (const absl::string_view needed : kNeeded) {
    if (!digests.contains(std::string(needed))) {
      return error::ScriptTampered(needed, "was not there when this executor was built");
    }
  }
  for (const auto& [file, digest] : digests) {
    VMKEEP_RETURN_IF_ERROR(CheckScript(ScriptPath(folder, file), digest));
  }
  return absl::OkStatus();
}

std::string ScriptPath(absl::string_view folder, absl::string_view file) {
  const absl::string_view separator = absl::StrContains(folder, '\\') ? "\\" : "/";
  return absl::StrCat(folder, separator, file);
}

}  // namespace vmkeep::executor::hyperv
