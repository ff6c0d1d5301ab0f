#ifndef VMKEEP_TOOLS_VMKEEPCTL_COMMAND_H_
#define VMKEEP_TOOLS_VMKEEPCTL_COMMAND_H_

#include "tools/vmkeepctl/client.h"
#include "tools/vmkeepctl/output.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// How a noun's file hangs its commands into the command line. One file per noun: host, vm, repo,
// backup; two for backup, which has most.
namespace vmkeep::ctl {

// What the command line asked for; main() runs it with a client. Its status decides the exit code;
// it has written its result, main() writes the error.
using Action = std::function<absl::Status(Client&, const Output&)>;

// The same for what needs no controller.
using LocalAction = std::function<void(const Output&)>;

void AddHostCommands(CLI::App& app, Action& action);
void AddVmCommands(CLI::App& app, Action& action);
void AddRepoCommands(CLI::App& app, Action& action);
void AddBackupCommands(CLI::App& app, Action& action);
// list, get and watch, below `noun`.
void AddBackupReadCommands(CLI::App& noun, Action& action);
void AddDoctorCommand(CLI::App& app, Action& action);
// completion and man. They are made from `app` when they run, so with all that is in it by then.
void AddDocumentCommands(CLI::App& app, LocalAction& action);

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

// Adds an option that may be given more than once, one value each time, and says so.
CLI::Option* AddRepeated(CLI::App& command, const std::string& name,
                         std::vector<std::string>& values, const std::string& what);
// --label KEY=VALUE, more than once.
CLI::Option* AddLabels(CLI::App& command, std::vector<std::string>& labels,
                       const std::string& what);
// Of checked labels.
std::map<std::string, std::string> ToLabels(const std::vector<std::string>& labels);
// Accepts one of `choices` by `check`, which answers why not. The choices are part of the option's
// type from here on: help, completion and man page show them.
CLI::Validator OneOf(const std::vector<std::string>& choices,
                     std::function<std::string(std::string&)> check);
// Accepts 1, 2, primary and secondary for an int: a repository.
CLI::Validator SlotNames();
// An RFC 3339 time, or a day such as 2026-11-25 (its beginning, UTC); nothing for other texts.
std::optional<absl::Time> ParseTime(const std::string& text);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_COMMAND_H_
