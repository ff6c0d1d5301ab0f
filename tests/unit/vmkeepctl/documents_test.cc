// Completion and man page, made from the real tree of commands.

#include "common/version.h"
#include "tests/unit/vmkeepctl/child.h"
#include "tools/vmkeepctl/cli.h"
#include "tools/vmkeepctl/command_tree.h"
#include "tools/vmkeepctl/completion.h"
#include "tools/vmkeepctl/man_page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::ctl {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::UnorderedElementsAre;

std::vector<CommandInfo> Tree() {
  Cli cli;
  return CommandTree(*MakeApp(cli));
}

const CommandInfo& Find(const std::vector<CommandInfo>& tree, const std::string& path) {
  for (const CommandInfo& command : tree) {
    if (command.path == path) return command;
  }
  ADD_FAILURE() << "no command " << path;
  return tree.front();
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(testing::TempDir(), "vmkeepctl-", name);
  std::ofstream(path) << text;
  return path;
}

ChildResult Shell(const std::string& command) {
  return Child({"/bin/bash", "-c", command}, {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}).Wait();
}

TEST(CommandTreeTest, IsWhatTheParserKnows) {
  const std::vector<CommandInfo> tree = Tree();
  EXPECT_EQ(tree.front().path, "");
  EXPECT_THAT(tree.front().commands,
              ElementsAre("host", "vm", "repo", "backup", "doctor", "completion", "man"));
  const CommandInfo& create = Find(tree, "backup create");
  ASSERT_EQ(create.arguments.size(), 2U);
  EXPECT_EQ(create.arguments[0].name, "VM");
  EXPECT_TRUE(create.arguments[0].required);
  bool quiesce = false;
  for (const OptionInfo& option : create.options) {
    if (option.names.front() != "--quiesce") continue;
    quiesce = true;
    EXPECT_THAT(option.choices, ElementsAre("if-available", "required", "never"));
  }
  EXPECT_TRUE(quiesce);
  EXPECT_TRUE(Find(tree, "backup watch").arguments[0].repeated);
  EXPECT_THAT(Find(tree, "repo init").arguments[1].choices,
              ElementsAre("1", "2", "primary", "secondary"));
}

TEST(CommandTreeTest, AnOptionTakesAValueEverywhereOrNowhere) {
  // Fish's script relies on it.
  std::map<std::string, bool> takes;
  for (const CommandInfo& command : Tree()) {
    for (const OptionInfo& option : command.options) {
      for (const std::string& name : option.names) {
        const bool value = !option.value.empty();
        EXPECT_EQ(takes.emplace(name, value).first->second, value) << command.path << " " << name;
      }
    }
  }
}

// --- the manual page

// As a reader sees it, or groff's complaints.
ChildResult Rendered(const std::string& page) {
  const std::string path = WriteFile("man.1", page);
  return Shell(absl::StrCat("groff -man -Tutf8 -ww -P-cbou -rLL=200n ", path));
}

TEST(ManPageTest, RendersWithoutAWarning) {
  const ChildResult rendered = Rendered(ManPage(Tree(), kVersion));
  EXPECT_EQ(rendered.exit_code, 0);
  EXPECT_THAT(rendered.err, IsEmpty());
  EXPECT_THAT(rendered.out, HasSubstr("vmkeepctl backup create VM NAME [OPTION]..."));
  EXPECT_THAT(rendered.out, HasSubstr("'nightly {date}'"));
}

TEST(ManPageTest, NamesEveryCommandArgumentAndOption) {
  // The text that a reader sees, and only that: what is lost on the way is not named.
  const std::string page = Rendered(ManPage(Tree(), kVersion)).out;
  for (const CommandInfo& command : Tree()) {
    if (!command.path.empty() && command.commands.empty()) {
      EXPECT_THAT(page, HasSubstr(absl::StrCat("vmkeepctl ", command.path))) << command.path;
    }
    for (const OptionInfo& option : command.options) {
      for (const std::string& name : option.names) EXPECT_THAT(page, HasSubstr(name));
      EXPECT_THAT(page, HasSubstr(option.environment));
    }
    for (const ArgumentInfo& argument : command.arguments)
      EXPECT_THAT(page, HasSubstr(argument.name));
  }
}

TEST(ManPageTest, EachCommandHasItsOwnOptionsInItsOwnSection) {
  const std::string page = ManPage(Tree(), kVersion);
  std::map<std::string, std::string> sections;
  for (const absl::string_view part : absl::StrSplit(page, "\n.SS ")) {
    const std::pair<std::string, std::string> split =
        absl::StrSplit(part, absl::MaxSplits('\n', 1));
    sections[split.first] = split.second;
  }
  for (const CommandInfo& command : Tree()) {
    if (command.path.empty() || !command.commands.empty()) continue;
    for (const OptionInfo& option : command.options) {
      if (option.names.front() == "--help") continue;
      EXPECT_THAT(sections[command.path], HasSubstr(Roff(option.names.front())))
          << command.path << " " << option.names.front();
    }
  }
}

TEST(ManPageTest, TextIsNoRequest) {
  EXPECT_EQ(Roff(".so x"), "\\&.so x");
  EXPECT_EQ(Roff("a\n.b"), "a\n\\&.b");
  EXPECT_EQ(Roff("C:\\x"), "C:\\ex");
  EXPECT_EQ(Roff("--a"), "\\-\\-a");
}

// --- bash, as a user's shell does it

// What bash offers for `words`, the last of which is being typed.
std::vector<std::string> Offered(const std::vector<std::string>& words) {
  const std::string script = WriteFile("completion.bash", BashCompletion(Tree()));
  const ChildResult result = Shell(absl::StrCat(
      "set -u; source ", script, "; COMP_WORDS=(",
      absl::StrJoin(
          words, " ",
          [](std::string* out, const std::string& word) { absl::StrAppend(out, "'", word, "'"); }),
      "); COMP_CWORD=", words.size() - 1,
      "; $(complete -p vmkeepctl | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); printf '%s\\n' "
      "\"${COMPREPLY[@]}\""));
  EXPECT_THAT(result.err, IsEmpty());
  return absl::StrSplit(result.out, '\n', absl::SkipEmpty());
}

TEST(BashCompletionTest, CompletesEveryCommandAndEveryOption) {
  for (const CommandInfo& command : Tree()) {
    std::vector<std::string> words = {"vmkeepctl"};
    for (const absl::string_view word : absl::StrSplit(command.path, ' ', absl::SkipEmpty()))
      words.emplace_back(word);
    words.emplace_back("");
    if (!command.commands.empty()) {
      EXPECT_THAT(Offered(words), testing::UnorderedElementsAreArray(command.commands))
          << command.path;
    }
    words.back() = "-";
    std::vector<std::string> options;
    for (const OptionInfo& option : command.options)
      options.insert(options.end(), option.names.begin(), option.names.end());
    EXPECT_THAT(Offered(words), IsSupersetOf(options)) << command.path;
    // Global options are taken everywhere.
    EXPECT_THAT(Offered(words), Contains("--server")) << command.path;
  }
}

TEST(BashCompletionTest, CompletesWhatIsHalfTyped) {
  EXPECT_THAT(Offered({"vmkeepctl", "ba"}), ElementsAre("backup"));
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "create", "--val"}), ElementsAre("--validate-only"));
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "create", "web-1", "n", "--wai"}),
              ElementsAre("--wait"));
  EXPECT_THAT(Offered({"vmkeepctl", "host", "list", "--sta"}), IsEmpty());
}

TEST(BashCompletionTest, CompletesChoices) {
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "create", "--quiesce", ""}),
              UnorderedElementsAre("if-available", "required", "never"));
  // Bash makes three words of --quiesce=re.
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "create", "--quiesce", "=", "re"}),
              ElementsAre("required"));
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "create", "--quiesce", "="}),
              UnorderedElementsAre("if-available", "required", "never"));
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "list", "--state", "SCRUB"}),
              UnorderedElementsAre("SCRUB", "SCRUBBING"));
  EXPECT_THAT(Offered({"vmkeepctl", "completion", ""}),
              UnorderedElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(Offered({"vmkeepctl", "repo", "init", ""}), IsEmpty());
  EXPECT_THAT(Offered({"vmkeepctl", "repo", "init", "kvm-1", "p"}), ElementsAre("primary"));
}

TEST(BashCompletionTest, AValueIsNoCommand) {
  EXPECT_THAT(Offered({"vmkeepctl", "--server", "backup", ""}), Contains("backup"));
  EXPECT_THAT(Offered({"vmkeepctl", "--json", "backup", "cr"}), ElementsAre("create"));
  EXPECT_THAT(Offered({"vmkeepctl", "backup", "watch", "--host", "x", "--until"}),
              ElementsAre("--until-settled"));
}

TEST(BashCompletionTest, CompletesFilesForFiles) {
  const std::string file = WriteFile("some-ca.pem", "");
  EXPECT_THAT(Offered({"vmkeepctl", "--tls-ca", file.substr(0, file.size() - 5)}),
              ElementsAre(file));
}

// --- zsh and fish: the same tree; what they do with it was seen by hand

TEST(OtherShellsTest, NameEveryCommandAndOption) {
  const std::string zsh = ZshCompletion(Tree());
  const std::string fish = FishCompletion(Tree());
  for (const CommandInfo& command : Tree()) {
    for (const std::string& below : command.commands) {
      EXPECT_THAT(zsh, HasSubstr(absl::StrCat("'", below, ":")));
      EXPECT_THAT(fish, HasSubstr(absl::StrCat(" -a ", below, " -d '")));
    }
    for (const OptionInfo& option : command.options) {
      EXPECT_THAT(zsh, HasSubstr(absl::StrCat("'", option.names.front(), ":")));
      EXPECT_THAT(fish, HasSubstr(absl::StrCat(" -l ", option.names.front().substr(2))));
    }
  }
}

TEST(OtherShellsTest, QuotesDoNotEnd) {
  CommandInfo command;
  command.options = {{{"--x"}, "", {}, "it's a \\ and a $HOME", "", ""}};
  EXPECT_THAT(ZshCompletion({command}), HasSubstr(R"('--x:it'\''s a \ and a $HOME')"));
  EXPECT_THAT(FishCompletion({command}), HasSubstr(R"(-d 'it\'s a \\ and a $HOME')"));
}

}  // namespace
}  // namespace vmkeep::ctl
