#include "controller/service/tokens.h"

#include "tests/support/status_matchers.h"

#include "absl/strings/escaping.h"
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace vmkeep::controller {
namespace {

using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;

const TokenScope kScope{"store-1", "local/abc"};

TEST(TokensTest, APageTokenComesBackAsItWas) {
  EXPECT_THAT(ParsePageToken(kScope, MakePageToken(kScope, "kvm-1")),
              IsOkAndHolds(std::string("kvm-1")));
  EXPECT_THAT(ParsePageToken(kScope, MakePageToken(kScope, "")), IsOkAndHolds(std::string()));
}

TEST(TokensTest, AResumeTokenComesBackAsItWas) {
  for (const int64_t revision : {int64_t{0}, int64_t{1}, INT64_MAX}) {
    EXPECT_THAT(ParseResumeToken(kScope, MakeResumeToken(kScope, revision)),
                IsOkAndHolds(revision));
  }
}

TEST(TokensTest, ATokenOfAnotherQueryStoreOrKindIsRefused) {
  const std::string page = MakePageToken(kScope, "1");
  const std::string resume = MakeResumeToken(kScope, 1);
  for (const TokenScope& other :
       {TokenScope{"store-1", "local/abd"}, TokenScope{"store-2", "local/abc"},
        TokenScope{"store-1", "other/abc"}, TokenScope{"", ""}}) {
    EXPECT_THAT(ParsePageToken(other, page), HasReason("BAD_PAGE_TOKEN"));
    EXPECT_THAT(ParseResumeToken(other, resume), HasReason("BAD_RESUME_TOKEN"));
  }
  EXPECT_THAT(ParsePageToken(kScope, resume), HasReason("BAD_PAGE_TOKEN"));
  EXPECT_THAT(ParseResumeToken(kScope, page), HasReason("BAD_RESUME_TOKEN"));
}

// Red when the seal does not cover the payload.
TEST(TokensTest, AChangedTokenIsRefused) {
  std::string text;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(MakeResumeToken(kScope, 42), &text));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_THAT(ParseResumeToken(kScope, absl::WebSafeBase64Escape(changed)),
                HasReason("BAD_RESUME_TOKEN"))
        << i;
  }
}

TEST(TokensTest, GarbageIsRefusedAndNeverCrashes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 80, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const std::string token = i % 2 == 0 ? bytes : absl::WebSafeBase64Escape("r1" + bytes);
    EXPECT_THAT(ParsePageToken(kScope, token), HasReason("BAD_PAGE_TOKEN"));
    EXPECT_THAT(ParseResumeToken(kScope, token), HasReason("BAD_RESUME_TOKEN"));
  }
  EXPECT_THAT(ParsePageToken(kScope, std::string(5 << 20, 'A')), HasReason("BAD_PAGE_TOKEN"));
}

TEST(TokensTest, PositionsComeBackToTheNanosecond) {
  const PagePosition position{absl::FromUnixNanos(1'750'000'000'123'456'789),
                              "01890a5d-ac96-774b-bcce-b302099a8057"};
  const auto parsed = ParsePosition(FormatPosition(position));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->create_time, position.create_time);
  EXPECT_EQ(parsed->id, position.id);
  for (const char* garbage :
       {"", "/", "1", "1/", "x/01890a5d-ac96-774b-bcce-b302099a8057", "1/../../etc/passwd",
        "99999999999999999999/01890a5d-ac96-774b-bcce-b302099a8057"}) {
    EXPECT_THAT(ParsePosition(garbage), HasReason("BAD_PAGE_TOKEN")) << garbage;
  }
}

}  // namespace
}  // namespace vmkeep::controller
