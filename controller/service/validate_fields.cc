#include "controller/service/validate_fields.h"

#include "common/uuid.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <optional>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::v1;

constexpr size_t kMaxHostId = 63;
constexpr size_t kMaxLabelKey = 63;
constexpr size_t kMaxLabelValue = 255;

void CheckCount(absl::string_view field, int count, Violations& found) {
  if (count > kMaxFilterValues) {
    found.Add(field,
              absl::StrCat("has ", count, " values; at most ", kMaxFilterValues, " are accepted"));
  }
}

void CheckTexts(absl::string_view field, const ProtoStrings& values, size_t max,
                Violations& found) {
  CheckCount(field, values.size(), found);
  for (int i = 0; i < std::min(values.size(), kMaxFilterValues); ++i) {
    found.CheckText(absl::StrCat(field, "[", i, "]"), values[i], 1, max);
  }
}

std::optional<absl::Time> ToTime(absl::string_view field, bool given,
                                 const google::protobuf::Timestamp& time, Violations& found) {
  // The range of a Timestamp: the years 1 to 9999.
  constexpr int64_t kFirst = -62135596800;
  constexpr int64_t kLast = 253402300799;
  if (!given) return std::nullopt;
  if (time.seconds() < kFirst || time.seconds() > kLast || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    found.Add(field, "is no time of the years 1 to 9999");
    return std::nullopt;
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::vector<std::string> ToVector(const ProtoStrings& values) {
  return {values.begin(), values.end()};
}

}  // namespace

std::string Printable(absl::string_view text) {
  constexpr size_t kMax = 64;
  return absl::Utf8SafeCEscape(text.substr(0, kMax));
}

void CheckBackupId(absl::string_view field, absl::string_view id, Violations& found) {
  if (id.empty()) return found.Add(field, "is required");
  if (!IsUuid(id)) {
    found.Add(
        field,
        "is no backup id: a UUID of 8-4-4-4-12 lower-case hex digits, as CreateBackup answered it");
  }
}

void CheckHostId(absl::string_view field, absl::string_view id, Violations& found) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) ||
           absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '.';
  });
  if (id.empty()) return found.Add(field, "is required");
  if (!plain || id.size() > kMaxHostId) {
    found.Add(field,
              absl::StrCat("accepted: 1 to ", kMaxHostId, " characters of a-z, 0-9, '-', '.'"));
  }
}

void CheckLabels(absl::string_view field, const ProtoLabels& labels, Violations& found) {
  if (labels.size() > static_cast<size_t>(kMaxLabels)) {
    return found.Add(field, absl::StrCat("has ", labels.size(), " pairs; at most ", kMaxLabels,
                                         " are accepted"));
  }
  // A map of protobuf has no order of its own: one request, one answer.
  const Labels ordered(labels.begin(), labels.end());
  for (const auto& [key, value] : ordered) {
    const std::string name = absl::StrCat(field, "[\"", Printable(key), "\"]");
    found.CheckText(absl::StrCat(name, ".key"), key, 1, kMaxLabelKey);
    found.CheckText(name, value, 0, kMaxLabelValue);
  }
}

std::vector<HostId> ToHostIds(absl::string_view field, const ProtoStrings& ids, Violations& found) {
  CheckCount(field, ids.size(), found);
  for (int i = 0; i < std::min(ids.size(), kMaxFilterValues); ++i) {
    CheckHostId(absl::StrCat(field, "[", i, "]"), ids[i], found);
  }
  return ToVector(ids);
}

int ToPageSize(int page_size, Violations& found) {
  if (page_size < 0)
    found.Add("page_size",
              absl::StrCat("accepted: 1 to ", kMaxPageSize, "; 0 means ", kDefaultPageSize));
  return page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
}

BackupFilter ToFilter(const pb::BackupFilter& filter, Violations& found) {
  BackupFilter result;
  CheckCount("filter.ids", filter.ids_size(), found);
  for (int i = 0; i < std::min(filter.ids_size(), kMaxFilterValues); ++i) {
    CheckBackupId(absl::StrCat("filter.ids[", i, "]"), filter.ids(i), found);
  }
  CheckTexts("filter.vm_ids", filter.vm_ids(), kMaxVmId, found);
  CheckTexts("filter.repository_ids", filter.repository_ids(), kMaxVmId, found);
  for (const int state : filter.states()) {
    if (!pb::Backup::State_IsValid(state)) {
      found.Add("filter.states", absl::StrCat(state, " is no state of a backup"));
    } else if (state != pb::Backup::STATE_UNSPECIFIED) {
      result.states.push_back(static_cast<BackupState>(state));
    }
  }
  for (const int slot : filter.repositories()) {
    if (slot != 1 && slot != 2)
      found.Add("filter.repositories", "accepted: 1 (primary), 2 (secondary)");
    result.repositories.push_back(slot);
  }
  CheckLabels("filter.labels", filter.labels(), found);
  result.ids = ToVector(filter.ids());
  result.vms = ToVector(filter.vm_ids());
  result.host_ids = ToHostIds("filter.host_ids", filter.host_ids(), found);
  result.repository_ids = ToVector(filter.repository_ids());
  result.created_after =
      ToTime("filter.created_after", filter.has_created_after(), filter.created_after(), found);
  result.created_before =
      ToTime("filter.created_before", filter.has_created_before(), filter.created_before(), found);
  result.labels = {filter.labels().begin(), filter.labels().end()};
  result.show_closed = filter.show_closed();
  return result;
}

}  // namespace vmkeep::controller
