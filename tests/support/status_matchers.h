#ifndef VMKEEP_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define VMKEEP_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include "common/error.h"
#include "common/status_macros.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

// Matchers for absl::Status and absl::StatusOr:
//   EXPECT_THAT(Open(path), IsOk());
//   EXPECT_THAT(Get(id), IsOkAndHolds(Field(&Record::name, "nightly")));
//   EXPECT_THAT(Get(id), AllOf(StatusIs(absl::StatusCode::kNotFound),
//   HasReason("BACKUP_NOT_FOUND")));
// and VMKEEP_ASSERT_OK_AND_ASSIGN(auto record, Get(id)); which ends the test when the call fails.
namespace vmkeep::test {

inline absl::Status GetStatus(absl::Status status) { return status; }
template <typename T>
absl::Status GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  *result_listener << "which is " << GetStatus(arg).ToString();
  return GetStatus(arg).ok();
}

// The code is `code` and the message matches, whatever it is when none is given.
MATCHER_P(StatusIs, code, "has code " + absl::StatusCodeToString(code)) {
  *result_listener << "which is " << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code;
}

MATCHER_P2(StatusIs, code, message,
           "has code " + absl::StatusCodeToString(code) + " and a message that " +
               ::testing::DescribeMatcher<std::string>(message, negation)) {
  *result_listener << "which is " << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code &&
         ::testing::ExplainMatchResult(message, std::string(GetStatus(arg).message()),
                                       result_listener);
}

// The reason of the google.rpc.ErrorInfo, "" when there is none.
MATCHER_P(HasReason, reason,
          std::string(negation ? "has not" : "has") + " the reason " +
              ::testing::PrintToString(reason)) {
  *result_listener << "whose reason is \"" << ErrorReason(GetStatus(arg)) << "\" ("
                   << GetStatus(arg).ToString() << ")";
  return ::testing::ExplainMatchResult(::testing::StrEq(reason), ErrorReason(GetStatus(arg)),
                                       result_listener);
}

MATCHER_P(IsOkAndHolds, value, "is OK and holds what is expected") {
  if (!arg.ok()) {
    *result_listener << "which is " << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace vmkeep::test

#define VMKEEP_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  VMKEEP_ASSERT_OK_AND_ASSIGN_INNER(VMKEEP_CONCAT(vmkeep_status_or_, __LINE__), lhs, expr)
#define VMKEEP_ASSERT_OK_AND_ASSIGN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                      \
  ASSERT_THAT(tmp, ::vmkeep::test::IsOk());               \
  lhs = *std::move(tmp)

#endif  // VMKEEP_TESTS_SUPPORT_STATUS_MATCHERS_H_
