#include "common/error.h"

#include "tests/support/status_matchers.h"

#include "google/rpc/error_details.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep {
namespace {

using test::HasReason;
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::Pair;

template <typename Message>
Message Detail(const absl::Status& status) {
  Message message;
  const auto payload =
      status.GetPayload("type.googleapis.com/" + std::string(Message::descriptor()->full_name()));
  EXPECT_TRUE(payload.has_value());
  EXPECT_TRUE(!payload || message.ParseFromString(std::string(*payload)));
  return message;
}

TEST(ErrorTest, CarriesReasonDomainAndMetadata) {
  const absl::Status error =
      MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND", "there is none", {{"vm", "web"}});
  EXPECT_THAT(error, StatusIs(absl::StatusCode::kNotFound, std::string("there is none")));
  EXPECT_THAT(error, HasReason("VM_NOT_FOUND"));
  EXPECT_THAT(ErrorDetails(error), ElementsAre(Pair("vm", "web")));
  EXPECT_EQ(Detail<google::rpc::ErrorInfo>(error).domain(), "vmkeep");
}

TEST(ErrorTest, AnInvalidArgumentNamesEveryField) {
  const absl::Status error =
      InvalidArgument({{"name", "is required"}, {"repository", "accepted: 0, 1, 2"}});
  EXPECT_THAT(error, StatusIs(absl::StatusCode::kInvalidArgument,
                              std::string("name: is required; repository: accepted: 0, 1, 2")));
  const auto bad = Detail<google::rpc::BadRequest>(error);
  ASSERT_EQ(bad.field_violations_size(), 2);
  EXPECT_EQ(bad.field_violations(1).field(), "repository");
}

TEST(ErrorTest, DetailsAddUp) {
  const absl::Status error = WithPrecondition(
      WithResource(WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, "BUSY", "busy"),
                                  absl::Seconds(7)),
                   "Vm", "web"),
      "VM_BUSY", "web", "wait");
  EXPECT_EQ(Detail<google::rpc::RetryInfo>(error).retry_delay().seconds(), 7);
  EXPECT_EQ(Detail<google::rpc::ResourceInfo>(error).resource_name(), "web");
  EXPECT_EQ(Detail<google::rpc::PreconditionFailure>(error).violations(0).subject(), "web");
  EXPECT_THAT(error, HasReason("BUSY"));
}

TEST(ErrorTest, ContextGoesBeforeTheMessageAndKeepsTheRest) {
  const absl::Status error = WithContext(
      MakeError(absl::StatusCode::kAborted, "STALE", "too late", {{"a", "b"}}), "backup 7");
  EXPECT_THAT(error, StatusIs(absl::StatusCode::kAborted, std::string("backup 7: too late")));
  EXPECT_THAT(error, HasReason("STALE"));
  EXPECT_THAT(ErrorDetails(error), ElementsAre(Pair("a", "b")));
  EXPECT_EQ(WithContext(absl::OkStatus(), "backup 7"), absl::OkStatus());
}

// protobuf writes what is no UTF-8, and then refuses to read the whole detail.
TEST(ErrorTest, WhatIsNoUtf8CostsNoDetail) {
  const absl::Status error = WithPrecondition(
      WithResource(MakeError(absl::StatusCode::kFailedPrecondition, "CANNOT_BACK_UP",
                             "no \xff file", {{"path", "/\xed\xa0\x80"}}),
                   "Vm", "w\xc3"),
      "DISK", "vd\xe4", "\xf5 x");
  EXPECT_EQ(error.message(), "no ? file");
  EXPECT_THAT(error, HasReason("CANNOT_BACK_UP"));
  EXPECT_THAT(ErrorDetails(error), ElementsAre(Pair("path", "/???")));
  EXPECT_EQ(Detail<google::rpc::ResourceInfo>(error).resource_name(), "w?");
  EXPECT_EQ(Detail<google::rpc::PreconditionFailure>(error).violations(0).subject(), "vd?");
  EXPECT_EQ(Detail<google::rpc::BadRequest>(InvalidArgument("name", "\x80"))
                .field_violations(0)
                .description(),
            "?");
}

TEST(ErrorTest, AForeignErrorHasNoReason) {
  EXPECT_THAT(absl::InternalError("x"), HasReason(""));
  EXPECT_TRUE(ErrorDetails(absl::InternalError("x")).empty());
  absl::Status garbage = absl::InternalError("x");
  garbage.SetPayload("type.googleapis.com/google.rpc.ErrorInfo", absl::Cord("\xff\xff\xff"));
  EXPECT_THAT(garbage, HasReason(""));
}

}  // namespace
}  // namespace vmkeep
