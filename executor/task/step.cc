#include "executor/task/step.h"

#include <array>

namespace vmkeep::executor {
namespace {

using enum StepKind;
using enum StepClass;

// In the order of StepKind. Merge and check are the safe direction: idempotent, and found from the
// overlay's name. So is the end of an export, found from its folder.
constexpr std::array<StepRule, 12> kRules = {{
    {kPreflight, "preflight", kForward, /*stoppable=*/true, /*past_return=*/false,
     /*repeated=*/false, /*needs_journal=*/true, "PREFLIGHT"},
    {kSnapshot, "snapshot", kForward, false, false, false, true, "SNAPSHOTTING"},
    {kCopy, "copy", kForward, true, false, true, true, "COPYING"},
    {kMerge, "merge", kAlways, false, false, true, false, "MERGING"},
    {kCheck, "check", kAlways, false, false, true, false, "MERGING"},
    {kRemoveOverlay, "remove_overlay", kAlways, false, false, true, true, "MERGING"},
    {kExport, "export", kForward, true, false, false, true, "EXPORTING"},
    {kEndExport, "end_export", kAlways, false, false, true, false, "EXPORTING"},
    {kSeal, "seal", kForward, true, false, true, true, "SEALING"},
    {kPublish, "publish", kForward, false, true, true, true, "PUBLISHING"},
    {kDiscard, "discard", kOnAbort, false, false, true, true, "REMOVING"},
    {kScrub, "scrub", kForward, false, true, true, true, "REMOVING"},
}};

}  // namespace

const StepRule& RuleOf(StepKind kind) { return kRules[static_cast<size_t>(kind)]; }

std::optional<StepKind> StepKindNamed(absl::string_view name) {
  for (const StepRule& rule : kRules) {
    if (rule.name == name) return rule.kind;
  }
  return std::nullopt;
}

absl::string_view TaskKindName(TaskKind kind) {
  return kind == TaskKind::kBackup ? "backup" : "scrub";
}

std::optional<TaskKind> TaskKindNamed(absl::string_view name) {
  if (name == "backup") return TaskKind::kBackup;
  if (name == "scrub") return TaskKind::kScrub;
  return std::nullopt;
}

std::vector<Step> StepsOf(TaskKind kind, BackupMethod method,
                          const std::vector<std::string>& disks) {
  if (kind == TaskKind::kScrub) return {{StepKind::kScrub, ""}};
  if (method == BackupMethod::kExport) {
    return {{kPreflight, ""}, {kExport, ""},  {kEndExport, ""},
            {kSeal, ""},      {kPublish, ""}, {kDiscard, ""}};
  }
  std::vector<Step> steps = {{kPreflight, ""}, {kSnapshot, ""}};
  for (const std::string& disk : disks) steps.push_back({kCopy, disk});
  for (const std::string& disk : disks) steps.push_back({kMerge, disk});
  for (StepKind last : {kCheck, kRemoveOverlay, kPublish, kDiscard}) steps.push_back({last, ""});
  return steps;
}

}  // namespace vmkeep::executor
