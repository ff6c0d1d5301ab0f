#include "common/status_macros.h"

#include "common/error.h"
#include "tests/support/status_matchers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace vmkeep {
namespace {

using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;

absl::Status Fail() {
  return MakeError(absl::StatusCode::kAborted, "ON_PURPOSE", "it failed", {{"a", "b"}});
}

absl::Status Both(const absl::Status& first, int& reached) {
  VMKEEP_RETURN_IF_ERROR(first);
  ++reached;
  VMKEEP_RETURN_IF_ERROR(Fail());
  ++reached;
  return absl::OkStatus();
}

TEST(StatusMacrosTest, ReturnsTheFirstErrorWithItsPayloads) {
  int reached = 0;
  EXPECT_EQ(Both(Fail(), reached), Fail());
  EXPECT_EQ(reached, 0);
  const absl::Status second = Both(absl::OkStatus(), reached);
  EXPECT_EQ(reached, 1);
  EXPECT_THAT(second, HasReason("ON_PURPOSE"));
  EXPECT_EQ(ErrorDetails(second)["a"], "b");
}

TEST(StatusMacrosTest, EvaluatesItsArgumentOnce) {
  int calls = 0;
  const auto count = [&] {
    ++calls;
    return absl::OkStatus();
  };
  const auto run = [&]() -> absl::Status {
    VMKEEP_RETURN_IF_ERROR(count());
    return absl::OkStatus();
  };
  EXPECT_THAT(run(), IsOk());
  EXPECT_EQ(calls, 1);
}

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return Fail();
  return std::make_unique<int>(value);
}

absl::StatusOr<int> Sum(int a, int b) {
  VMKEEP_ASSIGN_OR_RETURN(const std::unique_ptr<int> first,
                          Make(a));  // moves what cannot be copied
  std::unique_ptr<int> second;
  VMKEEP_ASSIGN_OR_RETURN(second, Make(b));  // assigns as well
  return *first + *second;
}

TEST(StatusMacrosTest, AssignsOrReturns) {
  EXPECT_THAT(Sum(1, 2), IsOkAndHolds(3));
  EXPECT_THAT(Sum(-1, 2), HasReason("ON_PURPOSE"));
  EXPECT_THAT(Sum(1, -2), HasReason("ON_PURPOSE"));
}

}  // namespace
}  // namespace vmkeep
