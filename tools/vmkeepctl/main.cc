// vmkeepctl: vmkeep's command line. Parses, connects, runs one action, ends with its exit code.

#include "common/version.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/exit_code.h"
#include "tools/vmkeepctl/terminal.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

namespace vmkeep::ctl {
namespace {

struct GlobalOptions {
  ClientOptions client;
  std::string timeout;
  bool json = false;
};

// "90", "90s", "5m"; nothing for other texts.
std::optional<absl::Duration> ParseTimeout(const std::string& text) {
  absl::Duration duration;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return std::nullopt;
  }
  // The upper end keeps now + timeout in range; it also refuses "inf".
  if (!(duration > absl::ZeroDuration()) || duration > absl::Hours(24 * 365)) return std::nullopt;
  return duration;
}

void DescribeGlobals(CLI::App& app, GlobalOptions& options) {
  options.client.server = "unix:/run/vmkeep/controller.sock";
  app.add_option("--server", options.client.server, "the controller: unix:/path or host:port")
      ->envname("VMKEEP_SERVER")
      ->capture_default_str();
  app.add_option("--tls-ca", options.client.tls.ca,
                 "PEM: who must have signed the controller's certificate")
      ->envname("VMKEEP_TLS_CA");
  app.add_option("--tls-cert", options.client.tls.cert, "PEM: our certificate")
      ->envname("VMKEEP_TLS_CERT");
  app.add_option("--tls-key", options.client.tls.key, "PEM: its key")->envname("VMKEEP_TLS_KEY");
  app.add_flag("--json", options.json, "JSON on stdout, errors as JSON on stderr");
  app.add_option("--timeout", options.timeout,
                 "give up after this long, such as 30s or 5m; else 30 s for a call, and no end for "
                 "--wait and watch")
      ->check([](const std::string& text) {
        return ParseTimeout(text).has_value()
                   ? ""
                   : "a duration such as 30s or 5m is wanted, not \"" + text + "\"";
      });
}

ExitCode Run(const Action& action, const GlobalOptions& options) {
  const Output output(options.json);
  ClientOptions client_options = options.client;
  if (!options.timeout.empty()) client_options.timeout = ParseTimeout(options.timeout);
  const auto client = Client::Connect(client_options);
  if (!client.ok()) {
    // Nothing was dialled yet: the address or the files on the command line are wrong.
    output.Error(client.status());
    return kExitUsage;
  }
  const absl::Status status = action(**client, output);
  if (!status.ok()) output.Error(status);
  return ExitCodeFor(status);
}

int Main(int argc, char** argv) {
  CLI::App app(
      "vmkeepctl talks to a vmkeep controller: backups of virtual machines that can be trusted.");
  app.footer(kExitCodeHelp);
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  // Global options are also taken after the subcommand.
  app.fallthrough();
  GlobalOptions options;
  Action action;
  DescribeGlobals(app, options);
  AddHostCommands(app, action);
  AddVmCommands(app, action);
  AddRepoCommands(app, action);
  AddBackupCommands(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    // Parsing may have stopped before it came to --json.
    const bool json = std::any_of(
        argv, argv + argc, [](const char* arg) { return absl::string_view(arg) == "--json"; });
    const absl::Status usage = error::Usage(absl::StrCat(e.what(), "; see --help"));
    Output(json).Error(usage);
    return ExitCodeFor(usage);
  }
  CatchInterrupts();
  return Run(action, options);
}

}  // namespace
}  // namespace vmkeep::ctl

int main(int argc, char** argv) {
  // gRPC writes its own log to stderr, between our lines; what matters is in the status.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return vmkeep::ctl::Main(argc, argv);
}
