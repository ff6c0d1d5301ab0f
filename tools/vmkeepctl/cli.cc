#include "tools/vmkeepctl/cli.h"

#include "common/version.h"
#include "tools/vmkeepctl/exit_code.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace vmkeep::ctl {
namespace {

std::string Footer() {
  std::string text = "Exit codes:\n";
  for (const ExitCodeText& each : kExitCodeTexts)
    absl::StrAppendFormat(&text, "  %-4d %s\n", static_cast<int>(each.code), each.meaning);
  return text;
}

void DescribeGlobals(CLI::App& app, Cli& cli) {
  cli.client.server = "unix:/run/vmkeep/controller.sock";
  app.add_option("--server", cli.client.server, "the controller: unix:/path or host:port")
      ->type_name("ADDRESS")
      ->envname("VMKEEP_SERVER")
      ->capture_default_str();
  app.add_option("--tls-ca", cli.client.tls.ca,
                 "PEM: who must have signed the controller's certificate")
      ->type_name("FILE")
      ->envname("VMKEEP_TLS_CA");
  app.add_option("--tls-cert", cli.client.tls.cert, "PEM: our certificate")
      ->type_name("FILE")
      ->envname("VMKEEP_TLS_CERT");
  app.add_option("--tls-key", cli.client.tls.key, "PEM: its key")
      ->type_name("FILE")
      ->envname("VMKEEP_TLS_KEY");
  app.add_flag("--json", cli.json, "JSON on stdout, errors as JSON on stderr");
  app.add_option("--timeout", cli.timeout,
                 "give up after this long, such as 30s or 5m; else 30 s for a call, and no end for "
                 "--wait and watch")
      ->type_name("DURATION")
      ->check([](const std::string& text) {
        return ParseTimeout(text).has_value()
                   ? ""
                   : "a duration such as 30s or 5m is wanted, not \"" + text + "\"";
      });
}

}  // namespace

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

std::unique_ptr<CLI::App> MakeApp(Cli& cli) {
  auto app = std::make_unique<CLI::App>(
      "vmkeepctl talks to a vmkeep controller: backups of virtual machines that can be trusted.",
      "vmkeepctl");
  app->footer(Footer());
  app->set_version_flag("--version", kVersion);
  app->require_subcommand(1);
  // Global options are also taken after the subcommand.
  app->fallthrough();
  DescribeGlobals(*app, cli);
  AddHostCommands(*app, cli.action);
  AddVmCommands(*app, cli.action);
  AddRepoCommands(*app, cli.action);
  AddBackupCommands(*app, cli.action);
  AddDoctorCommand(*app, cli.action);
  AddDocumentCommands(*app, cli.local_action);
  return app;
}

}  // namespace vmkeep::ctl
