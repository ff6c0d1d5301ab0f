#include "common/grpc_status.h"

#include "common/error.h"
#include "tests/support/status_matchers.h"

#include "google/rpc/status.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep {
namespace {

using test::HasReason;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::Le;
using ::testing::SizeIs;

TEST(GrpcStatusTest, EveryCodeGoesThereAndBack) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code),
                              code == 0 ? "" : "what happened");
    const grpc::Status wire = ToGrpcStatus(status);
    EXPECT_EQ(static_cast<int>(wire.error_code()), code);
    EXPECT_EQ(FromGrpcStatus(wire), status);
  }
}

TEST(GrpcStatusTest, EveryDetailGoesThereAndBack) {
  const absl::Status status =
      WithRetryAfter(WithResource(MakeError(absl::StatusCode::kUnavailable, "REPOSITORY_ILL",
                                            "it is slow", {{"repository", "2"}}),
                                  "vmkeep.v1.Repository", "kvm-1/2"),
                     absl::Seconds(30));
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  EXPECT_THAT(FromGrpcStatus(ToGrpcStatus(status)), HasReason("REPOSITORY_ILL"));
}

TEST(GrpcStatusTest, AMessageThatIsNoUtf8CostsNoDetail) {
  absl::Status status(absl::StatusCode::kInternal, "open /\xff");
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    *MakeError(absl::StatusCode::kInternal, "IO_ERROR", "")
                         .GetPayload("type.googleapis.com/google.rpc.ErrorInfo"));
  EXPECT_THAT(FromGrpcStatus(ToGrpcStatus(status)), HasReason("IO_ERROR"));
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)).message(), "open /?");
}

TEST(GrpcStatusTest, AForeignServersStatusIsTakenAsItIs) {
  const grpc::Status plain(grpc::StatusCode::DEADLINE_EXCEEDED, "too slow");
  EXPECT_EQ(FromGrpcStatus(plain), absl::DeadlineExceededError("too slow"));
  const grpc::Status garbage(grpc::StatusCode::INTERNAL, "x", "\xff\xfe no proto");
  EXPECT_EQ(FromGrpcStatus(garbage).code(), absl::StatusCode::kInternal);
}

// A trailer of 8 KiB is the usual limit of peers: the reason comes through whatever else is cut.
TEST(GrpcStatusTest, WhatIsTooLargeIsLeftOutButTheReason) {
  absl::Status status =
      MakeError(absl::StatusCode::kInternal, "TOO_MUCH", std::string(5000, 'm'), {{"k", "v"}});
  status = WithResource(status, "type", std::string(20'000, 'x'));
  const grpc::Status wire = ToGrpcStatus(status);
  EXPECT_LE(wire.error_details().size(), kMaxDetailBytes);
  EXPECT_LT(wire.error_message().size(), 1100u);
  const absl::Status back = FromGrpcStatus(wire);
  EXPECT_THAT(back, HasReason("TOO_MUCH"));
  EXPECT_EQ(ErrorDetails(back)["k"], "v");
}

TEST(GrpcStatusTest, ALongMessageIsCutBetweenCharacters) {
  for (int shift = 0; shift < 3; ++shift) {
    std::string message(shift, 'a');
    while (message.size() < 3000) message += "ü";
    const std::string cut = ToGrpcStatus(absl::InternalError(message)).error_message();
    EXPECT_THAT(cut, AllOf(SizeIs(Le(1100u)), EndsWith("ü…")));
  }
}

}  // namespace
}  // namespace vmkeep
