#include "common/error.h"

#include "common/utf8.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/rpc/error_details.pb.h"

namespace vmkeep {
namespace {

constexpr absl::string_view kDomain = "vmkeep";

template <typename Message>
std::string TypeUrl() {
  return absl::StrCat("type.googleapis.com/", Message::descriptor()->full_name());
}

template <typename Message>
void SetDetail(absl::Status& status, const Message& message) {
  status.SetPayload(TypeUrl<Message>(), absl::Cord(message.SerializeAsString()));
}

google::rpc::ErrorInfo GetErrorInfo(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  if (auto payload = status.GetPayload(TypeUrl<google::rpc::ErrorInfo>())) {
    if (!info.ParseFromString(std::string(*payload))) info.Clear();
  }
  return info;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       const ErrorMetadata& metadata) {
  absl::Status status(code, ToUtf8(message));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kDomain));
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = ToUtf8(value);
  SetDetail(status, info);
  return status;
}

absl::Status InvalidArgument(const std::vector<FieldViolation>& violations) {
  google::rpc::BadRequest bad;
  for (const FieldViolation& violation : violations) {
    auto* added = bad.add_field_violations();
    added->set_field(ToUtf8(violation.field));
    added->set_description(ToUtf8(violation.description));
  }
  absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
                absl::StrJoin(violations, "; ", [](std::string* out, const FieldViolation& v) {
                  absl::StrAppend(out, v.field, ": ", v.description);
                }));
  SetDetail(status, bad);
  return status;
}

absl::Status InvalidArgument(absl::string_view field, absl::string_view description) {
  return InvalidArgument({{std::string(field), std::string(description)}});
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(delay));
  SetDetail(status, retry);
  return status;
}

absl::Status WithResource(absl::Status status, absl::string_view type, absl::string_view name) {
  google::rpc::ResourceInfo resource;
  resource.set_resource_type(std::string(type));
  resource.set_resource_name(ToUtf8(name));
  SetDetail(status, resource);
  return status;
}

absl::Status WithPrecondition(absl::Status status, absl::string_view type,
                              absl::string_view subject, absl::string_view description) {
  google::rpc::PreconditionFailure failure;
  auto* violation = failure.add_violations();
  violation->set_type(std::string(type));
  violation->set_subject(ToUtf8(subject));
  violation->set_description(ToUtf8(description));
  SetDetail(status, failure);
  return status;
}

absl::Status WithContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status wrapped(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { wrapped.SetPayload(url, payload); });
  return wrapped;
}

std::string ErrorReason(const absl::Status& status) { return GetErrorInfo(status).reason(); }

std::string ReasonOrCode(const absl::Status& status) {
  std::string reason = ErrorReason(status);
  return reason.empty() ? absl::StatusCodeToString(status.code()) : reason;
}

ErrorMetadata ErrorDetails(const absl::Status& status) {
  const google::rpc::ErrorInfo info = GetErrorInfo(status);
  return {info.metadata().begin(), info.metadata().end()};
}

}  // namespace vmkeep
