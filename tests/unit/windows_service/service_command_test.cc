#include "executor/windows_service/service_command.h"

#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using test::IsOk;
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Verb = ServiceCommand::Verb;

TEST(ServiceCommandTest, WithoutTheWordItIsTheConsole) {
  for (const std::vector<std::string>& argv : std::vector<std::vector<std::string>>{
           {"a.exe"}, {"a.exe", "--listen=x", "service", "run"}, {"a.exe", "--service"}, {}}) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto command, ParseServiceCommand(argv));
    EXPECT_EQ(command, std::nullopt) << argv.size();
  }
}

TEST(ServiceCommandTest, VerbsAndTheirFlags) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const auto install,
      ParseServiceCommand({"a.exe", "service", "install", "--listen=0.0.0.0:1", "--x", "service"}));
  ASSERT_TRUE(install.has_value());
  EXPECT_EQ(install->verb, Verb::kInstall);
  EXPECT_THAT(install->flags, ElementsAre("--listen=0.0.0.0:1", "--x", "service"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto run, ParseServiceCommand({"a.exe", "service", "run"}));
  EXPECT_EQ(run->verb, Verb::kRun);
  EXPECT_THAT(run->flags, IsEmpty());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto gone,
                              ParseServiceCommand({"a.exe", "service", "uninstall"}));
  EXPECT_EQ(gone->verb, Verb::kUninstall);
}

TEST(ServiceCommandTest, WhatItIsNotIsRefusedWithWhatItCouldBe) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("service install"));
  EXPECT_THAT(ParseServiceCommand({"a.exe", "service"}), refused);
  EXPECT_THAT(ParseServiceCommand({"a.exe", "service", "Install"}), refused);
  EXPECT_THAT(ParseServiceCommand({"a.exe", "service", "--x"}), refused);
  EXPECT_THAT(ParseServiceCommand({"a.exe", "service", "uninstall", "--x"}), refused);
}

TEST(ServiceCommandLineTest, EachFlagArrivesAsItIs) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const std::string line,
      ServiceCommandLine("C:\\Program Files\\vmkeep\\vmkeep-executor.exe",
                         {"--state_dir=D:\\my state\\", "--name=\"\u00e9\"", "--plain=1"}));
  EXPECT_EQ(line,
            "\"C:\\Program Files\\vmkeep\\vmkeep-executor.exe\" service run "
            "\"--state_dir=D:\\my state\\\\\" \"--name=\\\"\u00e9\\\"\" --plain=1");
  EXPECT_THAT(ServiceCommandLine("\\\\server\\share\\a.exe", {}), IsOk());
}

TEST(ServiceCommandLineTest, WhatCannotBeWrittenSoIsRefused) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(ServiceCommandLine("a.exe", {}), refused);
  EXPECT_THAT(ServiceCommandLine("C:a.exe", {}), refused);
  EXPECT_THAT(ServiceCommandLine("C:\\a\"b.exe", {}), refused);
  EXPECT_THAT(ServiceCommandLine("C:\\a.exe", {"\xff"}), refused);
  EXPECT_THAT(ServiceCommandLine("C:\\a.exe", {std::string("a\0b", 3)}), refused);
}

}  // namespace
}  // namespace vmkeep::executor
