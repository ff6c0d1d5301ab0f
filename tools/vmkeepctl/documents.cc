#include "common/version.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/command_tree.h"
#include "tools/vmkeepctl/completion.h"
#include "tools/vmkeepctl/man_page.h"

#include "absl/strings/str_cat.h"

#include <memory>
#include <string>

namespace vmkeep::ctl {
namespace {

std::string CheckShell(const std::string& text) {
  if (text == "bash" || text == "zsh" || text == "fish") return {};
  return absl::StrCat("\"", text, "\" is not bash, zsh or fish");
}

std::string Completion(const std::string& shell, const std::vector<CommandInfo>& tree) {
  if (shell == "zsh") return ZshCompletion(tree);
  if (shell == "fish") return FishCompletion(tree);
  return BashCompletion(tree);
}

}  // namespace

void AddDocumentCommands(CLI::App& app, LocalAction& action) {
  CLI::App* completion =
      app.add_subcommand("completion", "Write the script that makes a shell complete vmkeepctl");
  const auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "the shell")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}, CheckShell));
  completion->callback([&app, &action, shell] {
    action = [&app, shell](const Output& output) {
      output.Document(Completion(*shell, CommandTree(app)));
    };
  });
  CLI::App* man = app.add_subcommand("man", "Write the manual page, vmkeepctl(1)");
  man->callback([&app, &action] {
    action = [&app](const Output& output) { output.Document(ManPage(CommandTree(app), kVersion)); };
  });
}

}  // namespace vmkeep::ctl
