#include "tools/vmkeepctl/man_page.h"

#include "tools/vmkeepctl/exit_code.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include <array>

namespace vmkeep::ctl {
namespace {

struct Example {
  absl::string_view what;
  absl::string_view command;
};
constexpr std::array kExamples = {
    Example{"Back a VM up and follow it to its end:",
            "vmkeepctl backup create web-1 'nightly {date}' --repository primary --wait"},
    Example{"Which VMs run on an overlay right now, and what is to be done about it?",
            "vmkeepctl vm list --overlay"},
    Example{"All that is under way, live:", "vmkeepctl backup watch"},
    Example{"Is everything well?", "vmkeepctl doctor"},
    Example{"Empty a host for an upgrade, and take it back:",
            "vmkeepctl host drain kvm-1\nvmkeepctl host undrain kvm-1"},
    Example{"Completion for the bash of this session:", "source <(vmkeepctl completion bash)"},
};

std::string Bold(absl::string_view text) { return absl::StrCat("\\fB", Roff(text), "\\fR"); }
std::string Italic(absl::string_view text) { return absl::StrCat("\\fI", Roff(text), "\\fR"); }

std::string OptionTitle(const OptionInfo& option) {
  const std::string names = absl::StrJoin(
      option.names, ", ",
      [](std::string* out, const std::string& name) { absl::StrAppend(out, Bold(name)); });
  return option.value.empty() ? names : absl::StrCat(names, " ", Italic(option.value));
}

std::string ChoicesText(const std::vector<std::string>& choices) {
  return choices.empty() ? "" : absl::StrCat(" (one of: ", absl::StrJoin(choices, ", "), ")");
}

std::string OptionText(const OptionInfo& option) {
  std::string text = Roff(absl::StrCat(option.what, ChoicesText(option.choices)));
  if (!option.preset.empty())
    absl::StrAppend(&text, Roff(absl::StrCat("; if not given, ", option.preset)));
  if (!option.environment.empty())
    absl::StrAppend(&text, "; also by the variable ", Bold(option.environment));
  return text;
}

std::string ArgumentTitle(const ArgumentInfo& argument) {
  const std::string name =
      absl::StrCat(Italic(argument.name), argument.repeated ? Roff("...") : "");
  return argument.required ? name : absl::StrCat("[", name, "]");
}

std::string Entry(absl::string_view title, absl::string_view text) {
  return absl::StrCat(".TP\n", title, "\n", text, "\n");
}

bool IsHelp(const OptionInfo& option) { return option.names.front() == "--help"; }

std::string Options(const CommandInfo& command) {
  std::string text;
  for (const OptionInfo& option : command.options) {
    // Each command has it; it is told once, with the global options.
    if (!command.path.empty() && IsHelp(option)) continue;
    absl::StrAppend(&text, Entry(OptionTitle(option), OptionText(option)));
  }
  return text;
}

std::string Command(const CommandInfo& command) {
  std::string usage = Bold(absl::StrCat("vmkeepctl ", command.path));
  for (const ArgumentInfo& argument : command.arguments)
    absl::StrAppend(&usage, " ", ArgumentTitle(argument));
  const bool options = command.options.size() > 1;
  if (options) absl::StrAppend(&usage, " [", Italic("OPTION"), "]", Roff("..."));
  std::string text = absl::StrCat(".SS ", Roff(command.path), "\n", usage, "\n.PP\n",
                                  Roff(command.what), Roff("."), "\n");
  for (const ArgumentInfo& argument : command.arguments) {
    absl::StrAppend(&text, Entry(ArgumentTitle(argument),
                                 Roff(absl::StrCat(argument.what, ChoicesText(argument.choices)))));
  }
  return absl::StrCat(text, Options(command));
}

std::string ExitStatus() {
  std::string text;
  for (const ExitCodeText& each : kExitCodeTexts) {
    absl::StrAppend(&text,
                    Entry(Bold(absl::StrCat(static_cast<int>(each.code))), Roff(each.meaning)));
  }
  return text;
}

std::string Environment(const CommandInfo& root) {
  std::string text;
  for (const OptionInfo& option : root.options) {
    if (option.environment.empty()) continue;
    absl::StrAppend(&text,
                    Entry(Bold(option.environment),
                          absl::StrCat("The same as ", Bold(option.names.front()), Roff("."))));
  }
  return text;
}

std::string Examples() {
  std::string text;
  for (const Example& each : kExamples) {
    absl::StrAppend(&text, ".PP\n", Roff(each.what), "\n.PP\n.RS 4\n.nf\n", Roff(each.command),
                    "\n.fi\n.RE\n");
  }
  return text;
}

}  // namespace

std::string Roff(absl::string_view text) {
  std::string escaped = absl::StrReplaceAll(text, {{"\\", "\\e"},
                                                   {"-", "\\-"},
                                                   {"'", "\\(aq"},
                                                   {"`", "\\(ga"},
                                                   {"^", "\\(ha"},
                                                   {"~", "\\(ti"},
                                                   {"\"", "\\(dq"},
                                                   {"\n.", "\n\\&."}});
  // A line that begins with one is a request.
  if (!escaped.empty() && escaped.front() == '.') escaped.insert(0, "\\&");
  return escaped;
}

std::string ManPage(const std::vector<CommandInfo>& tree, absl::string_view version) {
  std::string commands;
  for (const CommandInfo& command : tree) {
    // A noun without arguments of its own is the heading of its verbs.
    if (command.path.empty() || !command.commands.empty()) continue;
    absl::StrAppend(&commands, Command(command));
  }
  return absl::StrCat(
      // Without a date: the page is a function of the program.
      ".TH VMKEEPCTL 1 \"\" \"vmkeep ", Roff(version), "\" \"User Commands\"\n",
      ".SH NAME\nvmkeepctl \\- backups of virtual machines, from the command line\n",
      ".SH SYNOPSIS\n", Bold("vmkeepctl"), " [", Italic("GLOBAL OPTION"), "]", Roff("..."), " ",
      Italic("COMMAND"), " [", Italic("OPTION"), "]", Roff("..."), "\n", ".SH DESCRIPTION\n",
      Roff(tree.front().what),
      "\n.PP\nGlobal options are also taken after the command. Results go to standard output, "
      "errors and notes to standard error; with ",
      Bold("--json"), " both are JSON with the field names of the API.\n", ".SH COMMANDS\n",
      commands, ".SH GLOBAL OPTIONS\n", Options(tree.front()), ".SH EXIT STATUS\n", ExitStatus(),
      ".SH ENVIRONMENT\n", Environment(tree.front()), ".SH EXAMPLES\n", Examples());
}

}  // namespace vmkeep::ctl
