#include "executor/worker/target.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include <vector>

namespace vmkeep::worker {
namespace {

constexpr absl::string_view kSubst = R"(\??\)";
constexpr absl::string_view kSubstUnc = R"(\??\UNC\)";

// Hyper-V's VMMS, not the worker, writes an export, and does so as LocalSystem: on the network that
// is the host's computer account, and no drive of anybody's logon.
constexpr absl::string_view kAccount =
    "Give the host's computer account the right to write there: Hyper-V writes the export as "
    "LocalSystem.";

bool IsUnc(absl::string_view path) {
  return path.size() > 2 && (path[0] == '\\' || path[0] == '/') && path[1] == path[0];
}

std::string InBrackets(absl::string_view text) {
  return text.empty() ? "" : absl::StrCat(" (", text, ")");
}

std::string Remedy(absl::string_view drive, absl::string_view share) {
  return absl::StrCat(
      "Map it for the whole host, not for a logon: New-SmbGlobalMapping -LocalPath ", drive,
      " -RemotePath ", share.empty() ? R"(\\server\share)" : share,
      "; or name the share itself, by its UNC path, in --repository_primary. ", kAccount);
}

Target OfShare(absl::string_view drive, absl::string_view share) {
  return {absl::StrCat(drive, " leads to the share ", share, " (a network drive)"),
          Remedy(drive, share)};
}

// "\040" of mountinfo is a space.
std::string Unescaped(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' &&
                        absl::ascii_isdigit(static_cast<unsigned char>(text[i + 1])) &&
                        absl::ascii_isdigit(static_cast<unsigned char>(text[i + 2])) &&
                        absl::ascii_isdigit(static_cast<unsigned char>(text[i + 3]));
    if (!escape) {
      plain += text[i];
      continue;
    }
    plain +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return plain;
}

bool LiesOn(absl::string_view path, absl::string_view mount) {
  if (mount == "/" || path == mount) return true;
  return absl::ConsumePrefix(&path, mount) && absl::StartsWith(path, "/");
}

}  // namespace

Target DescribeTarget(const TargetFacts& facts) {
  if (IsUnc(facts.path)) {
    return {absl::StrCat("a share by its UNC path, ", facts.path, InBrackets(facts.file_system)),
            std::string(kAccount)};
  }
  if (facts.path.size() < 2 || facts.path[1] != ':') return {};
  const std::string drive = absl::AsciiStrToUpper(facts.path.substr(0, 2));
  absl::string_view device = facts.dos_device;
  if (absl::ConsumePrefix(&device, kSubstUnc)) return OfShare(drive, absl::StrCat(R"(\\)", device));
  if (absl::ConsumePrefix(&device, kSubst)) {
    return {
        absl::StrCat(drive, " stands for ", device, " (subst), a folder of this host's own disk"),
        Remedy(drive, "")};
  }
  switch (facts.drive) {
    case DriveKind::kMissing:
      return {absl::StrCat("there is no drive ", drive, " in this logon session"),
              Remedy(drive, facts.unc)};
    case DriveKind::kNetwork:
      if (facts.unc.empty())
        return {absl::StrCat(drive, " is a network drive whose share is not known"),
                Remedy(drive, "")};
      return OfShare(drive, facts.unc);
    case DriveKind::kFixed:
      if (absl::ascii_toupper(static_cast<unsigned char>(facts.system_drive)) == drive[0]) {
        return {absl::StrCat(facts.path, " is a folder of this host's own disk",
                             InBrackets(facts.file_system)),
                ""};
      }
      return {
          absl::StrCat(drive, " is a local fixed disk of this host", InBrackets(facts.file_system)),
          ""};
    case DriveKind::kOther:
      return {absl::StrCat(drive, " is a removable or another local drive of this host",
                           InBrackets(facts.file_system)),
              ""};
    case DriveKind::kUnknown:
      break;
  }
  return {};
}

std::string MountOf(absl::string_view mount_info, absl::string_view path) {
  std::string found;
  size_t longest = 0;
  for (const absl::string_view line : absl::StrSplit(mount_info, '\n', absl::SkipEmpty())) {
    // proc(5): the mount point is the fifth; behind a "-" come the type and the source.
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> fields = absl::StrSplit(halves[0], ' ');
    if (halves.size() < 2 || fields.size() < 5) continue;
    const std::vector<absl::string_view> of = absl::StrSplit(halves[1], ' ');
    const std::string mount = Unescaped(fields[4]);
    // Of two on one point the later one is on top.
    if (of.size() < 2 || mount.size() < longest || !LiesOn(path, mount)) continue;
    longest = mount.size();
    found = absl::StrCat(of[0], " ", Unescaped(of[1]));
  }
  return found;
}

}  // namespace vmkeep::worker
