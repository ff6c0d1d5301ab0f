#include "controller/service/tokens.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "controller/domain/errors.h"
#include "controller/service/digest.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

#include <optional>
#include <vector>

namespace vmkeep::controller {
namespace {

constexpr char kPage[] = "p1";
constexpr char kResume[] = "r1";
constexpr size_t kSealLength = 16;      // hex digits
constexpr size_t kMaxTokenBytes = 512;  // ours are far shorter

// Binds kind, store, query and payload together.
std::string Seal(absl::string_view kind, const TokenScope& scope, absl::string_view payload) {
  return Sha256Hex(absl::StrCat(kind, "|", scope.store_id, "|", scope.query_digest, "|", payload))
      .substr(0, kSealLength);
}

std::string Make(absl::string_view kind, const TokenScope& scope, absl::string_view payload) {
  return absl::WebSafeBase64Escape(absl::StrCat(kind, Seal(kind, scope, payload), payload));
}

std::optional<std::string> Open(absl::string_view kind, const TokenScope& scope,
                                absl::string_view token) {
  std::string text;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(token, &text)) {
    return std::nullopt;
  }
  if (text.size() < kind.size() + kSealLength || !absl::StartsWith(text, kind)) {
    return std::nullopt;
  }
  std::string payload = text.substr(kind.size() + kSealLength);
  if (text.substr(kind.size(), kSealLength) != Seal(kind, scope, payload)) return std::nullopt;
  return payload;
}

}  // namespace

std::string MakePageToken(const TokenScope& scope, absl::string_view cursor) {
  return Make(kPage, scope, cursor);
}

absl::StatusOr<std::string> ParsePageToken(const TokenScope& scope, absl::string_view token) {
  auto cursor = Open(kPage, scope, token);
  if (!cursor) return error::BadPageToken();
  return *std::move(cursor);
}

std::string FormatPosition(const PagePosition& position) {
  return absl::StrCat(absl::ToUnixNanos(position.create_time), "/", position.id);
}

absl::StatusOr<PagePosition> ParsePosition(absl::string_view cursor) {
  const std::vector<std::string> parts = absl::StrSplit(cursor, absl::MaxSplits('/', 1));
  int64_t nanos = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &nanos) || !IsUuid(parts[1])) {
    return error::BadPageToken();
  }
  return PagePosition{absl::FromUnixNanos(nanos), parts[1]};
}

std::string MakeResumeToken(const TokenScope& scope, int64_t revision) {
  return Make(kResume, scope, absl::StrCat(revision));
}

absl::StatusOr<int64_t> ParseResumeToken(const TokenScope& scope, absl::string_view token) {
  const auto payload = Open(kResume, scope, token);
  int64_t revision = 0;
  if (!payload || !absl::SimpleAtoi(*payload, &revision) || revision < 0) {
    return error::BadResumeToken();
  }
  return revision;
}

}  // namespace vmkeep::controller
