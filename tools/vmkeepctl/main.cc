// vmkeepctl: vmkeep's command line. Parses, connects, runs one action, ends with its exit code.

#include "tools/vmkeepctl/cli.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/exit_code.h"
#include "tools/vmkeepctl/terminal.h"

#include "absl/strings/str_cat.h"
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace vmkeep::ctl {
namespace {

ExitCode Run(const Cli& cli) {
  const Output output(cli.json);
  if (cli.local_action) {
    cli.local_action(output);
    return kExitOk;
  }
  ClientOptions client_options = cli.client;
  if (!cli.timeout.empty()) client_options.timeout = ParseTimeout(cli.timeout);
  const auto client = Client::Connect(client_options);
  if (!client.ok()) {
    // Nothing was dialled yet: the address or the files on the command line are wrong.
    output.Error(client.status());
    return kExitUsage;
  }
  const absl::Status status = cli.action(**client, output);
  if (!status.ok()) output.Error(status);
  return ExitCodeFor(status);
}

int Main(int argc, char** argv) {
  Cli cli;
  const std::unique_ptr<CLI::App> app = MakeApp(cli);
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app->exit(e);
    // Parsing may have stopped before it came to --json.
    const bool json = std::any_of(
        argv, argv + argc, [](const char* arg) { return absl::string_view(arg) == "--json"; });
    const absl::Status usage = error::Usage(absl::StrCat(e.what(), "; see --help"));
    Output(json).Error(usage);
    return ExitCodeFor(usage);
  }
  CatchInterrupts();
  return Run(cli);
}

}  // namespace
}  // namespace vmkeep::ctl

int main(int argc, char** argv) {
  // gRPC writes its own log to stderr, between our lines; what matters is in the status.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return vmkeep::ctl::Main(argc, argv);
}
