#ifndef VMKEEP_CONTROLLER_SERVICE_TOKENS_H_
#define VMKEEP_CONTROLLER_SERVICE_TOKENS_H_

#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <string>

// Tokens that clients carry from answer to request: opaque to them, bound to the query they came
// with and to this store. They are no secret and grant nothing; the checksum tells a token of ours
// from garbage. Pure.
namespace vmkeep::controller {

struct TokenScope {
  std::string store_id;      // BackupStore::controller_id()
  std::string query_digest;  // of what must stay the same from call to call
};

// Where a page begins: `cursor` is any text. BAD_PAGE_TOKEN for garbage and for a token of another
// query.
std::string MakePageToken(const TokenScope& scope, absl::string_view cursor);
absl::StatusOr<std::string> ParsePageToken(const TokenScope& scope, absl::string_view token);

// The cursor of a page of backups.
std::string FormatPosition(const PagePosition& position);
absl::StatusOr<PagePosition> ParsePosition(absl::string_view cursor);

// Where a watch goes on. BAD_RESUME_TOKEN for garbage, another filter, or another store.
std::string MakeResumeToken(const TokenScope& scope, int64_t revision);
absl::StatusOr<int64_t> ParseResumeToken(const TokenScope& scope, absl::string_view token);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_TOKENS_H_
