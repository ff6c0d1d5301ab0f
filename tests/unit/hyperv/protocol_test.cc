#include "executor/hypervisor/hyperv/protocol.h"

#include "common/jsonl/jsonl.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::executor::hyperv {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

constexpr process::ExitStatus kExit0{.code = 0, .signal = 0};
constexpr process::ExitStatus kExit3{.code = 3, .signal = 0};
const ScriptContext kContext{.doing = "export the VM", .vm = "web", .exports = true};

constexpr char kStarted[] = R"({"started":{"capture":"DATA_CONSISTENT"}})";
constexpr char kDone[] = R"({"done":{}})";

std::string Hello(absl::string_view script, int protocol = 1) {
  return absl::StrCat(R"({"hello":{"protocol":)", protocol, R"(,"script":")", script, R"("}})");
}

// The kinds of the lines that were taken, in order.
std::vector<int> KindsOf(const std::vector<wire::Line>& lines) {
  std::vector<int> kinds;
  for (const wire::Line& line : lines) kinds.push_back(line.body_case());
  return kinds;
}

std::vector<int> Feed(Protocol& protocol, const std::vector<std::string>& lines) {
  return KindsOf(protocol.Feed(absl::StrCat(absl::StrJoin(lines, "\n"), "\n")));
}

class ProtocolTest : public ::testing::Test {
 protected:
  absl::Status Verdict(const std::optional<process::ExitStatus>& exit = kExit0,
                       absl::string_view err = "") {
    return protocol_.Verdict(exit, err, kContext);
  }
  Protocol protocol_{"export-vm"};
};

TEST_F(ProtocolTest, AWholeExportIsTakenInOrderAndIsOk) {
  EXPECT_THAT(Feed(protocol_, {Hello("export-vm"), R"({"vm":{"id":"x","name":"web"}})", kStarted,
                               R"({"progress":{"percent":40,"bytes_done":"4096"}})", kDone}),
              ElementsAre(wire::Line::kHello, wire::Line::kVm, wire::Line::kStarted,
                          wire::Line::kProgress, wire::Line::kDone));
  EXPECT_TRUE(protocol_.ended());
  EXPECT_EQ(protocol_.noise().lines, 0);
  EXPECT_THAT(Verdict(), IsOk());
}

TEST_F(ProtocolTest, TheStreamMayBeCutAnywhere) {
  const std::string stream = absl::StrJoin(
      {std::string("\xEF\xBB\xBF") + Hello("export-vm"), std::string("a profile's greeting"),
       std::string(R"({"vm":{"name":"Büro"}})"), std::string(kStarted), std::string(kDone)},
      "\r\n");
  for (size_t step = 1; step < 40; ++step) {
    Protocol protocol("export-vm");
    std::vector<wire::Line> taken;
    for (size_t at = 0; at < stream.size(); at += step) {
      for (auto& line : protocol.Feed(absl::string_view(stream).substr(at, step)))
        taken.push_back(line);
    }
    for (auto& line : protocol.Feed("\r\n")) taken.push_back(line);
    EXPECT_THAT(KindsOf(taken), ElementsAre(wire::Line::kHello, wire::Line::kVm,
                                            wire::Line::kStarted, wire::Line::kDone))
        << step;
    EXPECT_EQ(taken[1].vm().name(), "Büro");
    EXPECT_EQ(protocol.noise().lines, 1);
    EXPECT_THAT(protocol.Verdict(kExit0, "", kContext), IsOk());
  }
}

TEST_F(ProtocolTest, ALineThatTheEndCutsOffIsNone) {
  Feed(protocol_, {Hello("export-vm"), kStarted});
  EXPECT_THAT(protocol_.Feed(kDone), IsEmpty());
  EXPECT_FALSE(protocol_.ended());
  EXPECT_THAT(Verdict(), HasReason("SCRIPT_FAILED"));
}

TEST_F(ProtocolTest, ExitStatus0AloneIsAFailure) {
  EXPECT_THAT(Verdict(), AllOf(HasReason("SCRIPT_FAILED"),
                               StatusIs(absl::StatusCode::kUnavailable,
                                        HasSubstr("without its first line (exit status 0)"))));
  Feed(protocol_, {Hello("export-vm"), kStarted, R"({"progress":{"percent":100}})"});
  EXPECT_THAT(Verdict(), HasReason("SCRIPT_FAILED"));
}

TEST_F(ProtocolTest, DoneIsOkWithExitStatus0Alone) {
  Feed(protocol_, {Hello("export-vm"), kStarted, kDone});
  EXPECT_THAT(Verdict(kExit3), HasReason("SCRIPT_FAILED"));
  EXPECT_THAT(Verdict(process::ExitStatus{.code = -1, .signal = 9}), HasReason("SCRIPT_FAILED"));
  EXPECT_THAT(Verdict(std::nullopt), HasReason("SCRIPT_FAILED")) << "it had to be killed";
  EXPECT_THAT(Verdict(), IsOk());
}

TEST_F(ProtocolTest, ErrorAndCancelledAreWhatTheySayWhateverTheExitStatus) {
  Feed(protocol_, {Hello("export-vm"), R"({"error":{"reason":"NOT_FOUND","message":"weg"}})"});
  EXPECT_THAT(Verdict(kExit0), HasReason("VM_NOT_FOUND"));
  EXPECT_THAT(Verdict(kExit3), HasReason("VM_NOT_FOUND"));
  Protocol other("export-vm");
  Feed(other, {Hello("export-vm"), kStarted, R"({"cancelled":{}})"});
  EXPECT_THAT(other.Verdict(kExit3, "", kContext),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
}

TEST_F(ProtocolTest, NothingCountsBeforeHello) {
  EXPECT_THAT(Feed(protocol_, {kStarted, kDone, R"({"vm":{}})"}), IsEmpty());
  EXPECT_EQ(protocol_.noise().lines, 3);
  EXPECT_THAT(Verdict(), HasReason("SCRIPT_FAILED"));
}

TEST_F(ProtocolTest, AnotherHelloIsRefusedAndNothingIsTakenAfterIt) {
  for (const std::string& hello :
       {Hello("export-vm", 2), Hello("list-vms"), std::string(R"({"hello":{}})")}) {
    Protocol protocol("export-vm");
    EXPECT_THAT(Feed(protocol, {hello, Hello("export-vm"), kStarted, kDone}), IsEmpty());
    EXPECT_TRUE(protocol.broken());
    EXPECT_THAT(protocol.Verdict(kExit0, "", kContext), HasReason("SCRIPT_PROTOCOL")) << hello;
  }
}

TEST_F(ProtocolTest, TwoEndingsAreADefectWhicheverTheyAre) {
  const std::string error = R"({"error":{"reason":"FAILED"}})";
  const std::string cancelled = R"({"cancelled":{}})";
  const std::vector<std::vector<std::string>> pairs = {
      {kDone, error}, {error, kDone}, {kDone, kDone}, {cancelled, kDone}};
  for (const auto& pair : pairs) {
    Protocol protocol("export-vm");
    EXPECT_EQ(Feed(protocol, {Hello("export-vm"), kStarted, pair[0], pair[1]}).size(), 3u);
    EXPECT_THAT(protocol.Verdict(kExit0, "", kContext), HasReason("SCRIPT_PROTOCOL"));
  }
}

TEST_F(ProtocolTest, NothingButNoiseAfterTheEnding) {
  Feed(protocol_, {Hello("export-vm"), kStarted, kDone});
  EXPECT_THAT(Feed(protocol_, {"bye", R"({"progress":{}})", R"({"vm":{}})", kStarted}), IsEmpty());
  EXPECT_EQ(protocol_.noise().lines, 4);
  EXPECT_THAT(Verdict(), IsOk());
}

TEST_F(ProtocolTest, WhatIsOutOfOrderIsNoise) {
  EXPECT_THAT(Feed(protocol_, {Hello("export-vm"), R"({"progress":{"percent":1}})",
                               Hello("export-vm"), kStarted, kStarted}),
              ElementsAre(wire::Line::kHello, wire::Line::kStarted));
  EXPECT_EQ(protocol_.noise().lines, 3);
  Protocol list("list-vms");
  EXPECT_THAT(Feed(list, {Hello("list-vms"), kStarted, R"({"progress":{}})", kDone}),
              ElementsAre(wire::Line::kHello, wire::Line::kProgress, wire::Line::kDone));
}

TEST_F(ProtocolTest, AnExportThatNeverStartedIsNotDone) {
  Feed(protocol_, {Hello("export-vm"), kDone});
  EXPECT_THAT(Verdict(), HasReason("SCRIPT_PROTOCOL"));
}

TEST_F(ProtocolTest, NoiseIsCountedAndAFewOfItKept) {
  std::vector<std::string> lines = {Hello("export-vm"),
                                    std::string(1000, 'x'),
                                    "WARNING: \x01\xff",
                                    R"({"unknown":{}})",
                                    R"({"done":{},"error":{}})",
                                    "[1]",
                                    "nul",
                                    "{",
                                    ""};
  EXPECT_EQ(Feed(protocol_, lines).size(), 1u);
  EXPECT_EQ(protocol_.noise().lines, 7) << "an empty line is none";
  ASSERT_EQ(protocol_.noise().first.size(), kMaxNoiseKept);
  EXPECT_EQ(protocol_.noise().first[0], std::string(kMaxNoiseBytes, 'x'));
  EXPECT_EQ(protocol_.noise().first[1], "WARNING:  ?");
  EXPECT_FALSE(protocol_.ended());
}

TEST_F(ProtocolTest, ALineBeyondTheLimitIsNoiseAndTheNextOneCounts) {
  Feed(protocol_, {Hello("export-vm"), kStarted});
  const std::string piece(1 << 20, 'y');
  for (int i = 0; i < 10; ++i) EXPECT_THAT(protocol_.Feed(piece), IsEmpty());
  EXPECT_THAT(Feed(protocol_, {R"({"done":{}})", kDone}), ElementsAre(wire::Line::kDone))
      << "the end of the long line is part of it";
  EXPECT_EQ(protocol_.noise().lines, 1);
  EXPECT_THAT(protocol_.noise().first, ElementsAre(std::string(kMaxNoiseBytes, 'y')));
  // Exactly as long as allowed, it is a line.
  Protocol list("list-vms");
  std::string longest = R"({"vm":{"name":")";
  longest.append(jsonl::kMaxLineBytes - longest.size() - 4, 'n') += R"("}})";
  ASSERT_EQ(longest.size(), jsonl::kMaxLineBytes - 1);
  EXPECT_THAT(Feed(list, {Hello("list-vms"), longest + " ", longest + "  "}),
              ElementsAre(wire::Line::kHello, wire::Line::kVm));
  EXPECT_EQ(list.noise().lines, 1);
}

TEST_F(ProtocolTest, TheEndOfStderrIsPartOfAFailureOnOneLine) {
  const std::string err =
      absl::StrCat(std::string(5000, '.'), "\nAusnahme: Zugriff\r\nverweigert\n");
  const absl::Status status = Verdict(kExit3, err);
  EXPECT_THAT(status, HasReason("SCRIPT_FAILED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Ausnahme: Zugriff  verweigert"));
  EXPECT_LT(status.message().size(), 600u);
  EXPECT_FALSE(absl::StrContains(status.message(), '\n'));
}

TEST(ScriptOfTest, EachVerbHasItsScript) {
  wire::Request request;
  EXPECT_EQ(ScriptOf(request), "");
  request.mutable_list_vms();
  EXPECT_EQ(ScriptOf(request), "list-vms");
  request.mutable_inspect_vm();
  EXPECT_EQ(ScriptOf(request), "inspect-vm");
  request.mutable_export_vm();
  EXPECT_EQ(ScriptOf(request), "export-vm");
  request.mutable_end_export();
  EXPECT_EQ(ScriptOf(request), "end-export");
  request.mutable_cancel();
  EXPECT_EQ(ScriptOf(request), "");
}

}  // namespace
}  // namespace vmkeep::executor::hyperv
