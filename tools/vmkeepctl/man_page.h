#ifndef VMKEEP_TOOLS_VMKEEPCTL_MAN_PAGE_H_
#define VMKEEP_TOOLS_VMKEEPCTL_MAN_PAGE_H_

#include "tools/vmkeepctl/command_tree.h"

#include "absl/strings/string_view.h"

#include <string>
#include <vector>

namespace vmkeep::ctl {

// vmkeepctl(1) as man(7) source. The same tree and version always give the same bytes.
std::string ManPage(const std::vector<CommandInfo>& tree, absl::string_view version);

// `text` for troff: no character of it is a request or an escape.
std::string Roff(absl::string_view text);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_MAN_PAGE_H_
