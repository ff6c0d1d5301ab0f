#ifndef VMKEEP_TOOLS_VMKEEPCTL_ADVICE_H_
#define VMKEEP_TOOLS_VMKEEPCTL_ADVICE_H_

#include "vmkeep/v1/backup.pb.h"

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include <string>

// What to do about a failed backup, in words. Pure.
namespace vmkeep::ctl {

// What a person does about one reason. The failure's own message says what happened; this says
// what comes next.
struct Advice {
  absl::string_view reason;
  absl::string_view to_do;  // whole sentences
};

// One for each reason that controller, executor and worker end a backup or a scrub with; sorted.
absl::Span<const Advice> AllAdvice();

// What to do about the failure of `backup`, with the command for the next step; empty when nothing
// failed, or when that is over.
std::string WhatToDo(const v1::Backup& backup);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_ADVICE_H_
