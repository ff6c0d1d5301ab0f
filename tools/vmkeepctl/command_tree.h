#ifndef VMKEEP_TOOLS_VMKEEPCTL_COMMAND_TREE_H_
#define VMKEEP_TOOLS_VMKEEPCTL_COMMAND_TREE_H_

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

// The command line as plain data, read from CLI11's tree: the one source of completion and man
// page.
namespace vmkeep::ctl {

struct OptionInfo {
  std::vector<std::string> names;    // "--wait"; the long ones first
  std::string value;                 // "FILE"; empty for a flag
  std::vector<std::string> choices;  // the values that are accepted; empty when they are many
  std::string what;
  std::string environment;  // the variable that also sets it
  std::string preset;       // what it is when it is not given
};

struct ArgumentInfo {
  std::string name;  // "VM"
  std::string what;
  std::vector<std::string> choices;
  bool required = false;
  bool repeated = false;
};

struct CommandInfo {
  std::string path;  // "backup create"; empty for vmkeepctl itself
  std::string what;
  std::vector<OptionInfo> options;
  std::vector<ArgumentInfo> arguments;
  std::vector<std::string> commands;  // names of those below it, in their order
};

// vmkeepctl itself first, then each command before those below it.
std::vector<CommandInfo> CommandTree(const CLI::App& app);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_COMMAND_TREE_H_
