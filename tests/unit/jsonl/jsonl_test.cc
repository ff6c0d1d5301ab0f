#include "common/jsonl/jsonl.h"

#include "tests/support/status_matchers.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace vmkeep::jsonl {
namespace {

using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
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
