#include "common/jsonl/jsonl.h"

#include "tests/support/status_matchers.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <optional>
#include <string>
#include <utility>

namespace vmkeep::jsonl {
namespace {

using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;

TEST(JsonlTest, EncodesOneLineWithTheProtoFieldNames) {
  worker::v1::Request request;
  request.mutable_copy()->set_source("/images/a\nb");
  request.mutable_copy()->set_stall_seconds(30);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::string line, Encode(request));
  EXPECT_EQ(line, "{\"copy\":{\"source\":\"/images/a\\nb\",\"stall_seconds\":\"30\"}}\n");
}

TEST(JsonlTest, WhatIsEncodedIsDecoded) {
  worker::v1::Request request;
  auto* file = request.mutable_publish()->add_small_files();
  file->set_file("domain.xml");
  file->set_content(std::string("\0\xff<domain>\n", 12));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::string line, Encode(request));
  worker::v1::Request decoded;
  ASSERT_THAT(Decode(line, &decoded), IsOk());
  EXPECT_EQ(decoded.SerializeAsString(), request.SerializeAsString());
}

TEST(JsonlTest, UnknownFieldsOfANewerPeerAreIgnored) {
  worker::v1::Request request;
  ASSERT_THAT(
      Decode(R"({"probe":{"repository":{"root":"/mnt","colour":"red"}},"future":[1,{"a":2}]})",
             &request),
      IsOk());
  EXPECT_EQ(request.probe().repository().root(), "/mnt");
}

TEST(JsonlTest, AnythingElseIsABadLine) {
  for (const char* line : {"", "null", "[]", "{", "hello", "{\"probe\":3}", "{\"probe\":{}} x",
                           "\xff\xfe", "{\"copy\":{\"stall_seconds\":\"x\"}}"}) {
    worker::v1::Request request;
    EXPECT_THAT(Decode(line, &request),
                AllOf(StatusIs(absl::StatusCode::kInvalidArgument), HasReason("BAD_LINE")))
        << line;
  }
}

// A Publish holds domain XML with passwords.
TEST(JsonlTest, ErrorsQuoteNothingOfTheLine) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"publish":{"small_files":[{"content":"hunter2 !"}]}})", "publish.small_files"},
      {R"({"publish":{"small_files":[{"content" "hunter2"}]}})", "Expected"},
      {R"({"copy":{"stall_seconds":"hunter2"}})", "copy.stall_seconds"},
  };
  for (const auto& [line, place] : cases) {
    worker::v1::Request request;
    EXPECT_THAT(Decode(line, &request),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(place), Not(HasSubstr("hunter2")), Not(HasSubstr("\n")))));
  }
}

TEST(JsonlTest, DeepNestingOfAnUnknownFieldDoesNoHarm) {
  worker::v1::Request request;
  const std::string line =
      "{\"x\":" + std::string(100'000, '[') + std::string(100'000, ']') + ",\"cancel\":{}}";
  ASSERT_THAT(Decode(line, &request), IsOk());
  EXPECT_TRUE(request.has_cancel());
}

TEST(LineReaderTest, CutsAStreamAtAnyPlace) {
  const std::string stream = "first\n\nthird\nfour";
  for (size_t step = 1; step <= stream.size(); ++step) {
    LineReader reader;
    std::string seen;
    for (size_t at = 0; at < stream.size(); at += step) {
      reader.Append(absl::string_view(stream).substr(at, step));
      while (true) {
        VMKEEP_ASSERT_OK_AND_ASSIGN(const std::optional<std::string> line, reader.Next());
        if (!line) break;
        seen += "[" + *line + "]";
      }
    }
    EXPECT_EQ(seen, "[first][][third]") << "in steps of " << step;
  }
}

// A megabyte of short lines in one piece: each byte moved once per line would be 10^11 of them.
TEST(LineReaderTest, ManyLinesAtOnceTakeLittleTime) {
  LineReader reader;
  reader.Append(std::string(size_t{1} << 20, '\n'));
  const std::clock_t begun = std::clock();
  size_t lines = 0;
  while (true) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const std::optional<std::string> line, reader.Next());
    if (!line) break;
    ++lines;
  }
  EXPECT_EQ(lines, size_t{1} << 20);
  EXPECT_LT((std::clock() - begun) / CLOCKS_PER_SEC, 2);
}

TEST(LineReaderTest, ALineOfTheLargestSizePasses) {
  LineReader reader;
  reader.Append(std::string(kMaxLineBytes, 'x'));
  EXPECT_THAT(reader.Next(), IsOkAndHolds(std::nullopt));
  reader.Append("\n");
  EXPECT_THAT(reader.Next(), IsOkAndHolds(Optional(std::string(kMaxLineBytes, 'x'))));
}

TEST(LineReaderTest, ALongerOneIsRefusedBeforeItsEndIsSeen) {
  LineReader reader;
  reader.Append(std::string(kMaxLineBytes + 1, 'x'));
  EXPECT_THAT(reader.Next(),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("longer than")),
                    HasReason("LINE_TOO_LONG")));
  LineReader whole;
  whole.Append(std::string(kMaxLineBytes + 1, 'x') + "\n");
  EXPECT_THAT(whole.Next(), HasReason("LINE_TOO_LONG"));
}

}  // namespace
}  // namespace vmkeep::jsonl
