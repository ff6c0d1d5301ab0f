#ifndef VMKEEP_TOOLS_VMKEEPCTL_COMMAND_H_
#define VMKEEP_TOOLS_VMKEEPCTL_COMMAND_H_

#include "tools/vmkeepctl/client.h"
#include "tools/vmkeepctl/output.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// How a noun's file hangs its commands into the command line. One file per noun: host, vm, repo,
// backup.
namespace vmkeep::ctl {

// What the command line asked for; main() runs it with a client. Its status decides the exit code;
// it has written its result, main() writes the error.
using Action = std::function<absl::Status(Client&, const Output&)>;

void AddHostCommands(CLI::App& app, Action& action);
void AddVmCommands(CLI::App& app, Action& action);
void AddRepoCommands(CLI::App& app, Action& action);
void AddBackupCommands(CLI::App& app, Action& action);

// A subcommand with `Options`, which `describe` binds to its options; when it is chosen, `run`
// becomes the action.
template <typename Options>
CLI::App* AddCommand(CLI::App& noun, const std::string& name, const std::string& what,
                     Action& action, void (*describe)(CLI::App&, Options&),
                     absl::Status (*run)(const Options&, Client&, const Output&)) {
  CLI::App* command = noun.add_subcommand(name, what);
  const auto options = std::make_shared<Options>();
  describe(*command, *options);
  command->callback([&action, options, run] {
    action = [options, run](Client& client, const Output& output) {
      return run(*options, client, output);
    };
  });
  return command;
}

// Adds an option that may be given more than once, one value each time.
CLI::Option* AddRepeated(CLI::App& command, const std::string& name,
                         std::vector<std::string>& values, const std::string& what);
// --label KEY=VALUE, more than once.
CLI::Option* AddLabels(CLI::App& command, std::vector<std::string>& labels,
                       const std::string& what);
// Of checked labels.
std::map<std::string, std::string> ToLabels(const std::vector<std::string>& labels);
// Accepts 1, 2, primary and secondary for an int: a repository.
CLI::Validator SlotNames();

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_COMMAND_H_
