#ifndef VMKEEP_TOOLS_VMKEEPCTL_CLI_H_
#define VMKEEP_TOOLS_VMKEEPCTL_CLI_H_

#include "tools/vmkeepctl/client.h"
#include "tools/vmkeepctl/command.h"

#include "absl/time/time.h"
#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>

// The whole command line as one tree: what is parsed, and what help, completion and man page are
// made from.
namespace vmkeep::ctl {

struct Cli {
  ClientOptions client;
  std::string timeout;
  bool json = false;
  // Exactly one of them is set when the command line was parsed without an error.
  Action action;
  LocalAction local_action;
};

// The tree, bound to `cli`, which outlives it.
std::unique_ptr<CLI::App> MakeApp(Cli& cli);

// "90", "90s", "5m"; nothing for other texts.
std::optional<absl::Duration> ParseTimeout(const std::string& text);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_CLI_H_
