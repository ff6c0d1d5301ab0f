#include "common/uuid.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace vmkeep {
namespace {

TEST(UuidTest, Version7SortsByTime) {
  const absl::Time begin = absl::FromUnixMillis(1'750'000'000'000);
  std::string last;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewUuid7(begin + absl::Milliseconds(i));
    ASSERT_TRUE(IsUuid(id)) << id;
    EXPECT_EQ(id[14], '7');
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
    EXPECT_GT(id, last);
    last = id;
  }
  // RFC 9562, A.6: 0x017F22E279B0 is 2022-02-22T19:22:22Z.
  EXPECT_EQ(NewUuid7(absl::FromUnixMillis(0x017F22E279B0)).substr(0, 13), "017f22e2-79b0");
}

TEST(UuidTest, NoTwoAreTheSame) {
  std::set<std::string> ids;
  for (int i = 0; i < 10'000; ++i) {
    ids.insert(NewUuid7(absl::UnixEpoch()));
    ids.insert(NewUuid4());
  }
  EXPECT_EQ(ids.size(), 20'000u);
}

TEST(UuidTest, Version4IsMarkedAsSuch) {
  const std::string id = NewUuid4();
  EXPECT_TRUE(IsUuid(id));
  EXPECT_EQ(id[14], '4');
}

// Only this form may become part of a path.
TEST(UuidTest, NothingElseIsOne) {
  const std::string good = "01234567-89ab-4def-8123-456789abcdef";
  EXPECT_TRUE(IsUuid(good));
  const std::vector<std::string> others = {"",
                                           good + "0",
                                           good.substr(1),
                                           "01234567-89AB-4def-8123-456789abcdef",
                                           "01234567_89ab-4def-8123-456789abcdef",
                                           "../34567-89ab-4def-8123-456789abcdef",
                                           "0123456789ab4def8123456789abcdef0000",
                                           good.substr(0, 35) + std::string(1, '\0')};
  for (const std::string& bad : others) {
    EXPECT_FALSE(IsUuid(bad)) << bad;
  }
}

}  // namespace
}  // namespace vmkeep
