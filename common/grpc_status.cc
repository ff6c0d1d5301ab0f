#include "common/grpc_status.h"

#include "common/utf8.h"

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "google/rpc/status.pb.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep {
namespace {

constexpr size_t kMaxMessageBytes = 1024;

// A message that is too long for a trailer is cut at a UTF-8 boundary.
std::string CutMessage(absl::string_view message) {
  if (message.size() <= kMaxMessageBytes) return std::string(message);
  size_t end = kMaxMessageBytes;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
  return std::string(message.substr(0, end)) + "…";
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::vector<std::pair<std::string, std::string>> payloads;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    payloads.emplace_back(std::string(url), std::string(value));
  });
  std::stable_sort(payloads.begin(), payloads.end(), [](const auto& a, const auto& b) {
    return absl::EndsWith(a.first, ".ErrorInfo") && !absl::EndsWith(b.first, ".ErrorInfo");
  });

  google::rpc::Status wire;
  wire.set_code(static_cast<int>(status.code()));
  wire.set_message(CutMessage(ToUtf8(status.message())));
  for (const auto& [url, value] : payloads) {
    auto* detail = wire.add_details();
    detail->set_type_url(url);
    detail->set_value(value);
    if (wire.ByteSizeLong() > kMaxDetailBytes) wire.mutable_details()->RemoveLast();
  }
  return {static_cast<grpc::StatusCode>(status.code()), wire.message(),
          wire.details_size() > 0 ? wire.SerializeAsString() : std::string()};
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status wire;
  if (!status.error_details().empty() && wire.ParseFromString(status.error_details())) {
    for (const auto& detail : wire.details())
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return result;
}

}  // namespace vmkeep
