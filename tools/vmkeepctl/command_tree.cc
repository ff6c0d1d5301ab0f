#include "tools/vmkeepctl/command_tree.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include <tuple>
#include <utility>

namespace vmkeep::ctl {
namespace {

// "STATE:{A,B}" as CLI11 writes a type and its validators: the name, and the choices.
std::pair<std::string, std::vector<std::string>> ReadType(const std::string& type) {
  const size_t open = type.find(":{");
  if (open == std::string::npos || !absl::EndsWith(type, "}"))
    return {type.substr(0, type.find(':')), {}};
  return {type.substr(0, open), absl::StrSplit(type.substr(open + 2, type.size() - open - 3), ',')};
}

OptionInfo ReadOption(const CLI::Option& option) {
  OptionInfo info;
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  // A flag takes no value.
  if (option.get_type_size() != 0)
    std::tie(info.value, info.choices) = ReadType(option.get_type_name());
  info.what = option.get_description();
  info.environment = option.get_envname();
  info.preset = option.get_default_str();
  return info;
}

ArgumentInfo ReadArgument(const CLI::Option& option) {
  return {option.get_name(true), option.get_description(), ReadType(option.get_type_name()).second,
          option.get_required(), option.get_items_expected_max() > 1};
}

void Read(const CLI::App& app, const std::string& path, std::vector<CommandInfo>& tree) {
  CommandInfo info;
  info.path = path;
  info.what = app.get_description();
  for (const CLI::Option* option : app.get_options({})) {
    if (option->get_lnames().empty() && option->get_snames().empty()) {
      info.arguments.push_back(ReadArgument(*option));
    } else {
      info.options.push_back(ReadOption(*option));
    }
  }
  const std::vector<const CLI::App*> below =
      app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : below) info.commands.push_back(command->get_name());
  tree.push_back(std::move(info));
  for (const CLI::App* command : below)
    Read(*command, absl::StrCat(path, path.empty() ? "" : " ", command->get_name()), tree);
}

}  // namespace

std::vector<CommandInfo> CommandTree(const CLI::App& app) {
  std::vector<CommandInfo> tree;
  Read(app, "", tree);
  return tree;
}

}  // namespace vmkeep::ctl
