#include "common/process/command_line.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vmkeep::process {
namespace {

// Backslashes are themselves, but for those before a quote: 2n of them and a quote are n and the
// end of the argument, 2n+1 are n and a quote.
void AppendArgument(absl::string_view argument, std::string* line) {
  if (!argument.empty() && argument.find_first_of(" \t\n\v\"") == absl::string_view::npos) {
    line->append(argument.data(), argument.size());
    return;
  }
  line->push_back('"');
  size_t backslashes = 0;  // that end what was appended
  for (const char c : argument) {
    if (c == '"') line->append(backslashes + 1, '\\');
    backslashes = c == '\\' ? backslashes + 1 : 0;
    line->push_back(c);
  }
  line->append(backslashes, '\\');
  line->push_back('"');
}

}  // namespace

std::optional<std::string> ToCommandLine(const std::vector<std::string>& argv) {
  if (argv.empty()) return std::nullopt;
  for (const std::string& one : argv) {
    if (absl::StrContains(one, '\0')) return std::nullopt;
  }
  // The program's name ends at the next quote; in it, backslashes are always themselves.
  if (absl::StrContains(argv[0], '"')) return std::nullopt;
  std::string line = absl::StrCat("\"", argv[0], "\"");
  for (size_t i = 1; i < argv.size(); ++i) {
    line.push_back(' ');
    AppendArgument(argv[i], &line);
  }
  return line;
}

}  // namespace vmkeep::process
