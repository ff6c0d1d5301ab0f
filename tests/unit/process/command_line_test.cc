#include "common/process/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace vmkeep::process {
namespace {

// CommandLineToArgvW as Microsoft documents it, for the round trip.
std::vector<std::string> Parse(const std::string& line) {
  std::vector<std::string> argv;
  const size_t end = line.find('"', 1);  // the program: quoted, and without escapes
  argv.push_back(line.substr(1, end - 1));
  size_t at = end + 1;
  while (true) {
    while (at < line.size() && (line[at] == ' ' || line[at] == '\t')) ++at;
    if (at >= line.size()) return argv;
    std::string argument;
    bool quoted = false;
    for (; at < line.size() && (quoted || (line[at] != ' ' && line[at] != '\t')); ++at) {
      size_t backslashes = 0;
      while (at < line.size() && line[at] == '\\') ++at, ++backslashes;
      if (at < line.size() && line[at] == '"') {
        argument.append(backslashes / 2, '\\');
        if (backslashes % 2 == 1) {
          argument.push_back('"');
        } else {
          quoted = !quoted;
        }
        continue;
      }
      argument.append(backslashes, '\\');
      if (at >= line.size() || (!quoted && (line[at] == ' ' || line[at] == '\t'))) break;
      argument.push_back(line[at]);
    }
    argv.push_back(argument);
  }
}

TEST(CommandLineTest, IsWhatTheRulesSay) {
  EXPECT_EQ(ToCommandLine({"C:\\Program Files\\a.exe"}), "\"C:\\Program Files\\a.exe\"");
  EXPECT_EQ(ToCommandLine({"a", "b", "c d", ""}), "\"a\" b \"c d\" \"\"");
  EXPECT_EQ(ToCommandLine({"a", "C:\\x\\", "C:\\x y\\"}), "\"a\" C:\\x\\ \"C:\\x y\\\\\"");
  EXPECT_EQ(ToCommandLine({"a", "\""}), "\"a\" \"\\\"\"");
  EXPECT_EQ(ToCommandLine({"a", "a\\\\\"b"}), "\"a\" \"a\\\\\\\\\\\"b\"");
  EXPECT_EQ(ToCommandLine({"a", "\u00e9\u4e2d"}), "\"a\" \u00e9\u4e2d");
  EXPECT_EQ(ToCommandLine({"a", "%PATH% & ^| $(x)"}), "\"a\" \"%PATH% & ^| $(x)\"");
}

TEST(CommandLineTest, WhatNoTextCanStandForIsRefused) {
  EXPECT_EQ(ToCommandLine({}), std::nullopt);
  EXPECT_EQ(ToCommandLine({"a\"b"}), std::nullopt);
  EXPECT_EQ(ToCommandLine({"a", std::string("b\0c", 3)}), std::nullopt);
}

// Every argument of up to five of these bytes, alone and before another one.
TEST(CommandLineTest, IsTakenApartAgain) {
  const std::string alphabet = "\\\" \tx";
  size_t checked = 0;
  std::vector<std::string> all = {""};
  for (size_t begin = 0, length = 1; length <= 5; ++length) {
    const size_t end = all.size();
    for (size_t i = begin; i < end; ++i) {
      for (const char c : alphabet) all.push_back(all[i] + c);
    }
    begin = end;
  }
  for (const std::string& one : all) {
    const std::vector<std::string> argv = {"C:\\a b\\", one, "last"};
    const std::optional<std::string> line = ToCommandLine(argv);
    ASSERT_TRUE(line.has_value());
    ASSERT_EQ(Parse(*line), argv) << *line;
    ++checked;
  }
  EXPECT_EQ(checked, 1u + 5 + 25 + 125 + 625 + 3125);
}

}  // namespace
}  // namespace vmkeep::process
