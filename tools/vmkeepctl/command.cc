#include "tools/vmkeepctl/command.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include <utility>

namespace vmkeep::ctl {

CLI::Option* AddRepeated(CLI::App& command, const std::string& name,
                         std::vector<std::string>& values, const std::string& what) {
  return command.add_option(name, values, absl::StrCat(what, "; may be given more than once"))
      ->allow_extra_args(false);
}

CLI::Option* AddLabels(CLI::App& command, std::vector<std::string>& labels,
                       const std::string& what) {
  const auto check = [](const std::string& label) {
    const size_t equals = label.find('=');
    return equals == std::string::npos || equals == 0
               ? absl::StrCat("\"", label, "\" is not KEY=VALUE")
               : std::string();
  };
  return AddRepeated(command, "--label", labels, what)
      ->type_name("KEY=VALUE")
      ->check(CLI::Validator(check, ""));
}

std::map<std::string, std::string> ToLabels(const std::vector<std::string>& labels) {
  std::map<std::string, std::string> result;
  for (const std::string& label : labels) {
    const std::pair<std::string, std::string> entry =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    result[entry.first] = entry.second;
  }
  return result;
}

CLI::Validator OneOf(const std::vector<std::string>& choices,
                     std::function<std::string(std::string&)> check) {
  return {std::move(check), absl::StrCat("{", absl::StrJoin(choices, ","), "}")};
}

CLI::Validator SlotNames() {
  return OneOf({"1", "2", "primary", "secondary"}, [](std::string& text) -> std::string {
    if (text == "primary") text = "1";
    if (text == "secondary") text = "2";
    return text == "1" || text == "2"
               ? ""
               : absl::StrCat("\"", text, "\" is not 1, 2, primary or secondary");
  });
}

std::optional<absl::Time> ParseTime(const std::string& text) {
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) return time;
  if (absl::ParseTime("%Y-%m-%d", text, absl::UTCTimeZone(), &time, nullptr)) return time;
  return std::nullopt;
}

}  // namespace vmkeep::ctl
