#ifndef VMKEEP_TOOLS_VMKEEPCTL_COMPLETION_H_
#define VMKEEP_TOOLS_VMKEEPCTL_COMPLETION_H_

#include "tools/vmkeepctl/command_tree.h"

#include <string>
#include <vector>

// Scripts that make a shell complete vmkeepctl's commands, options and their choices. They never
// ask a controller: a shell that hangs at a tab is worse than one that knows less.
namespace vmkeep::ctl {

std::string BashCompletion(const std::vector<CommandInfo>& tree);
std::string ZshCompletion(const std::vector<CommandInfo>& tree);
std::string FishCompletion(const std::vector<CommandInfo>& tree);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_COMPLETION_H_
