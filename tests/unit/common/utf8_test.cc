#include "common/utf8.h"

#include "google/rpc/status.pb.h"
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace vmkeep {
namespace {

TEST(Utf8Test, CharactersStayAndOtherBytesBecomeQuestionMarks) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"plain\n", "plain\n"},
      {"\xc3\xa9 \xe2\x98\xbe \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x98\xbe \xf0\x9f\x98\x80"},
      {"\xf4\x8f\xbf\xbf\xed\x9f\xbf", "\xf4\x8f\xbf\xbf\xed\x9f\xbf"},  // the last of their ranges
      {"caf\xe9", "caf?"},                                               // Latin-1
      {"\x80\xff", "??"},
      {"\xe2\x98", "??"},                 // cut off
      {"\xe2\x98x", "??x"},               // goes on too soon
      {"\xc0\xaf\xe0\x9f\xbf", "?????"},  // could be shorter
      {"\xf0\x8f\xbf\xbf", "????"},
      {"\xed\xa0\x80", "???"},       // a surrogate
      {"\xf4\x90\x80\x80", "????"},  // beyond the last character
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(ToUtf8(text), expected) << expected;
    EXPECT_EQ(IsUtf8(text), std::string(text) == expected) << expected;
  }
}

// What protobuf takes is the measure: every start of three bytes, and two after it.
TEST(Utf8Test, ProtobufReadsWhatIsLeft) {
  for (int i = 0; i < 1 << 16; ++i) {
    const std::string text = {'\xf1', '\x80', static_cast<char>(i >> 8), static_cast<char>(i), 'x'};
    for (const size_t from : {0, 1, 2}) {
      google::rpc::Status message;
      message.set_message(ToUtf8(text.substr(from)));
      google::rpc::Status read;
      ASSERT_TRUE(read.ParseFromString(message.SerializeAsString())) << i << " from " << from;
    }
  }
}

}  // namespace
}  // namespace vmkeep
