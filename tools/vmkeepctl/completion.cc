#include "tools/vmkeepctl/completion.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace vmkeep::ctl {
namespace {

constexpr char kFile[] = "FILE";

// --- words that all three shells share

// Shell: which command the words before the cursor name, which option still waits for its value,
// and how many arguments the command has already. The shell sets `word` to each of them in turn.
constexpr char kTakeWord[] = R"(    if [[ $word == '=' ]]; then continue; fi
    if [[ -n $option ]]; then option=; continue; fi
    case "$command:$word" in
)";
constexpr char kTakenWord[] = R"(      *:-*) ;;
      *) place=$((place + 1)) ;;
    esac
)";

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string Join(const std::vector<std::string>& parts, absl::string_view separator) {
  return absl::StrJoin(parts, separator);
}

// "command:--option" patterns of a command's options; those of vmkeepctl itself hold everywhere.
std::vector<std::string> Patterns(const CommandInfo& command, const OptionInfo& option) {
  std::vector<std::string> patterns;
  for (const std::string& name : option.names) {
    patterns.push_back(command.path.empty() ? absl::StrCat("*:", name)
                                            : absl::StrCat(Quoted(command.path), ":", name));
  }
  return patterns;
}

// The arms of kTakeWord's case: a command's name, or an option with a value.
std::string WordArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    for (const std::string& below : command.commands) {
      const std::string path = absl::StrCat(command.path, command.path.empty() ? "" : " ", below);
      absl::StrAppend(&arms, "      ", Quoted(absl::StrCat(command.path, ":", below)),
                      ") command=", Quoted(path), "; place=0 ;;\n");
    }
    for (const OptionInfo& option : command.options) {
      if (option.value.empty()) continue;
      absl::StrAppend(&arms, "      ", Join(Patterns(command, option), " | "),
                      ") option=$word ;;\n");
    }
  }
  return arms;
}

std::string WordLoop(const std::vector<CommandInfo>& tree) {
  return absl::StrCat(kTakeWord, WordArms(tree), kTakenWord, "  done\n");
}

std::vector<std::string> OptionNames(const CommandInfo& command) {
  std::vector<std::string> names;
  for (const OptionInfo& option : command.options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

std::string Place(size_t index, const ArgumentInfo& argument) {
  return argument.repeated ? "*" : absl::StrCat(index);
}

// --- bash

std::string BashValueArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    for (const OptionInfo& option : command.options) {
      if (option.value == kFile) {
        absl::StrAppend(&arms, "    ", Join(Patterns(command, option), " | "),
                        ") mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n");
      } else if (!option.choices.empty()) {
        absl::StrAppend(&arms, "    ", Join(Patterns(command, option), " | "),
                        ") words=", Quoted(Join(option.choices, " ")), " ;;\n");
      }
    }
  }
  return arms;
}

std::string BashCommandArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    if (!command.commands.empty()) {
      absl::StrAppend(&arms, "    ", Quoted(absl::StrCat(command.path, ":0")),
                      ") words=", Quoted(Join(command.commands, " ")), " ;;\n");
    }
    for (size_t i = 0; i < command.arguments.size(); ++i) {
      const ArgumentInfo& argument = command.arguments[i];
      if (argument.choices.empty()) continue;
      absl::StrAppend(&arms, "    ", Quoted(command.path + ":"), Place(i, argument),
                      ") words=", Quoted(Join(argument.choices, " ")), " ;;\n");
    }
  }
  return arms;
}

std::string BashOptionArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    if (command.path.empty()) continue;
    absl::StrAppend(&arms, "    ", Quoted(command.path),
                    ") words=", Quoted(Join(OptionNames(command), " ")), " ;;\n");
  }
  return arms;
}

// --- zsh

// "'word:description'" for _describe.
std::string ZshItem(absl::string_view word, absl::string_view what) {
  return Quoted(absl::StrCat(absl::StrReplaceAll(word, {{":", "\\:"}}), ":", what));
}

std::string ZshItems(const OptionInfo& option) {
  return absl::StrJoin(option.names, " ", [&option](std::string* out, const std::string& name) {
    absl::StrAppend(out, ZshItem(name, option.what));
  });
}

std::string ZshOptions(const CommandInfo& command) {
  return absl::StrJoin(command.options, " ", [](std::string* out, const OptionInfo& option) {
    absl::StrAppend(out, ZshItems(option));
  });
}

absl::string_view WhatOf(const std::vector<CommandInfo>& tree, absl::string_view path) {
  for (const CommandInfo& command : tree) {
    if (command.path == path) return command.what;
  }
  return "";
}

std::string ZshCommands(const std::vector<CommandInfo>& tree, const CommandInfo& command) {
  return absl::StrJoin(command.commands, " ", [&](std::string* out, const std::string& below) {
    const std::string path = absl::StrCat(command.path, command.path.empty() ? "" : " ", below);
    absl::StrAppend(out, ZshItem(below, WhatOf(tree, path)));
  });
}

std::string ZshValueArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    for (const OptionInfo& option : command.options) {
      if (option.value == kFile) {
        absl::StrAppend(&arms, "    ", Join(Patterns(command, option), " | "),
                        ") _files; return ;;\n");
      } else if (!option.choices.empty()) {
        absl::StrAppend(&arms, "    ", Join(Patterns(command, option), " | "), ") compadd -- ",
                        Join(option.choices, " "), "; return ;;\n");
      }
    }
  }
  return arms;
}

std::string ZshCommandArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    if (!command.commands.empty()) {
      absl::StrAppend(&arms, "    ", Quoted(absl::StrCat(command.path, ":0")), ") items=(",
                      ZshCommands(tree, command), ") ;;\n");
    }
    for (size_t i = 0; i < command.arguments.size(); ++i) {
      const ArgumentInfo& argument = command.arguments[i];
      if (argument.choices.empty()) continue;
      absl::StrAppend(&arms, "    ", Quoted(command.path + ":"), Place(i, argument), ") items=(",
                      Join(argument.choices, " "), ") ;;\n");
    }
  }
  return arms;
}

std::string ZshOptionArms(const std::vector<CommandInfo>& tree) {
  std::string arms;
  for (const CommandInfo& command : tree) {
    if (command.path.empty()) continue;
    absl::StrAppend(&arms, "    ", Quoted(command.path), ") items+=(", ZshOptions(command),
                    ") ;;\n");
  }
  return arms;
}

// --- fish

std::string FishQuoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string FishCondition(const CommandInfo& command) {
  return command.path.empty()
             ? ""
             : absl::StrCat(" -n ", FishQuoted(absl::StrCat("__vmkeepctl_at ", command.path)));
}

std::string FishOption(const CommandInfo& command, const OptionInfo& option) {
  std::string line = absl::StrCat("complete -c vmkeepctl", FishCondition(command));
  for (const std::string& name : option.names) {
    absl::StrAppend(&line, absl::StartsWith(name, "--") ? absl::StrCat(" -l ", name.substr(2))
                                                        : absl::StrCat(" -s ", name.substr(1)));
  }
  if (!option.value.empty()) absl::StrAppend(&line, option.value == kFile ? " -rF" : " -x");
  if (!option.choices.empty())
    absl::StrAppend(&line, " -a ", FishQuoted(Join(option.choices, " ")));
  return absl::StrCat(line, " -d ", FishQuoted(option.what), "\n");
}

std::string FishCommand(const std::vector<CommandInfo>& tree, const CommandInfo& command) {
  std::string lines;
  for (const std::string& below : command.commands) {
    const std::string path = absl::StrCat(command.path, command.path.empty() ? "" : " ", below);
    absl::StrAppend(&lines, "complete -c vmkeepctl -n ",
                    FishQuoted(absl::StrCat("__vmkeepctl_at ", command.path)), " -a ", below,
                    " -d ", FishQuoted(WhatOf(tree, path)), "\n");
  }
  for (const ArgumentInfo& argument : command.arguments) {
    if (argument.choices.empty()) continue;
    absl::StrAppend(&lines, "complete -c vmkeepctl", FishCondition(command), " -a ",
                    FishQuoted(Join(argument.choices, " ")), "\n");
  }
  for (const OptionInfo& option : command.options)
    absl::StrAppend(&lines, FishOption(command, option));
  return lines;
}

// Fish: the command that the words before the cursor name.
std::string FishFunction(const std::vector<CommandInfo>& tree) {
  std::vector<std::string> takes_value;
  std::vector<std::string> paths;
  for (const CommandInfo& command : tree) {
    if (!command.path.empty()) paths.push_back(FishQuoted(command.path));
    for (const OptionInfo& option : command.options) {
      if (!option.value.empty())
        takes_value.insert(takes_value.end(), option.names.begin(), option.names.end());
    }
  }
  return absl::StrCat("function __vmkeepctl_at\n    set -l at\n    set -l value 0\n",
                      "    set -l words (commandline -opc)\n", "    for word in $words[2..-1]\n",
                      "        if test $value = 1\n            set value 0\n            continue\n",
                      "        end\n        if contains -- $word ", Join(takes_value, " "),
                      "\n            set value 1\n        else if contains -- \"$at $word\" ",
                      absl::StrJoin(paths, " ",
                                    [](std::string* out, const std::string& path) {
                                      // $at begins with a blank.
                                      absl::StrAppend(out, "' ", path.substr(1));
                                    }),
                      "\n            set at \"$at $word\"\n        end\n    end\n",
                      "    test \"$at\" = \" $argv\" -o \"$at$argv\" = ''\nend\n");
}

}  // namespace

std::string BashCompletion(const std::vector<CommandInfo>& tree) {
  return absl::StrCat(
      "# bash completion of vmkeepctl, as \"vmkeepctl completion bash\" writes it.\n",
      "_vmkeepctl() {\n",
      "  local current=${COMP_WORDS[COMP_CWORD]} command= option= words= word\n",
      "  local -i i place=0\n  COMPREPLY=()\n",
      // Bash gives "--option=value" as three words.
      "  if [[ $current == '=' ]]; then current=; fi\n",
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${COMP_WORDS[i]}\n", WordLoop(tree),
      "  if [[ -n $option ]]; then\n    case \"$command:$option\" in\n", BashValueArms(tree),
      "    esac\n  elif [[ $current == -* ]]; then\n    case $command in\n", BashOptionArms(tree),
      "    esac\n    words+=", Quoted(absl::StrCat(" ", Join(OptionNames(tree.front()), " "))),
      "\n  else\n    case \"$command:$place\" in\n", BashCommandArms(tree), "    esac\n  fi\n",
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\" | sort -u)\n}\n",
      "complete -F _vmkeepctl vmkeepctl\n");
}

std::string ZshCompletion(const std::vector<CommandInfo>& tree) {
  return absl::StrCat(
      "#compdef vmkeepctl\n",
      "# zsh completion of vmkeepctl, as \"vmkeepctl completion zsh\" writes it.\n",
      "_vmkeepctl() {\n", "  local command= option= word\n  local -a items\n  integer i place=0\n",
      "  for ((i = 2; i < CURRENT; i++)); do\n    word=${words[i]}\n", WordLoop(tree),
      // "--option=value" is one word here.
      "  if [[ -z $option && $PREFIX == --*=* ]]; then\n    option=${PREFIX%%=*}\n",
      "    compset -P '*='\n  fi\n",
      "  if [[ -n $option ]]; then\n    case \"$command:$option\" in\n", ZshValueArms(tree),
      "    esac\n  elif [[ $PREFIX == -* ]]; then\n    items=(", ZshOptions(tree.front()),
      ")\n    case $command in\n", ZshOptionArms(tree), "    esac\n    _describe -o option items\n",
      "  else\n    case \"$command:$place\" in\n", ZshCommandArms(tree),
      "    esac\n    _describe command items\n  fi\n}\n",
      // Autoloaded from fpath it is the function's body, sourced it is a definition.
      "if [[ $funcstack[1] == _vmkeepctl ]]; then\n  _vmkeepctl \"$@\"\nelse\n",
      "  compdef _vmkeepctl vmkeepctl\nfi\n");
}

std::string FishCompletion(const std::vector<CommandInfo>& tree) {
  std::string text =
      absl::StrCat("# fish completion of vmkeepctl, as \"vmkeepctl completion fish\" writes it.\n",
                   FishFunction(tree), "complete -c vmkeepctl -f\n");
  for (const CommandInfo& command : tree) absl::StrAppend(&text, FishCommand(tree, command));
  return text;
}

}  // namespace vmkeep::ctl
