#include "executor/windows_service/service_command.h"

#include "common/error.h"
#include "common/fs/names.h"
#include "common/process/command_line.h"
#include "common/utf8.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::executor {
namespace {

constexpr absl::string_view kUsage =
    "accepted are: service install [flag...], service uninstall, service run [flag...]";

}  // namespace

absl::StatusOr<std::optional<ServiceCommand>> ParseServiceCommand(
    const std::vector<std::string>& argv) {
  if (argv.size() < 2 || argv[1] != "service") return std::nullopt;
  const std::string verb = argv.size() > 2 ? argv[2] : "";
  ServiceCommand command;
  if (argv.size() > 3) command.flags.assign(argv.begin() + 3, argv.end());
  if (verb == "install") {
    command.verb = ServiceCommand::Verb::kInstall;
  } else if (verb == "uninstall") {
    command.verb = ServiceCommand::Verb::kUninstall;
    if (!command.flags.empty()) {
      return InvalidArgument("service", absl::StrCat("uninstall takes no flags; ", kUsage));
    }
  } else if (verb == "run") {
    command.verb = ServiceCommand::Verb::kRun;
  } else {
    return InvalidArgument("service", absl::StrCat("there is no verb \"", verb, "\"; ", kUsage));
  }
  return command;
}

absl::StatusOr<std::string> ServiceCommandLine(const std::string& program,
                                               const std::vector<std::string>& flags) {
  // A service is started in another folder than the one that installs it.
  if (!fs::IsAbsoluteOnWindows(program)) {
    return InvalidArgument("program", absl::StrCat(program, " is no absolute path"));
  }
  std::vector<std::string> argv = {program, "service", "run"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  for (const std::string& one : argv) {
    if (!IsUtf8(one)) return InvalidArgument("flags", absl::StrCat(ToUtf8(one), " is no UTF-8"));
  }
  const std::optional<std::string> line = process::ToCommandLine(argv);
  if (!line) return InvalidArgument("flags", "one holds a NUL, or the program's path a quote");
  return *line;
}

}  // namespace vmkeep::executor
