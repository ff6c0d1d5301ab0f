#include "controller/store/backup_store.h"

#include "absl/strings/ascii.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

template <typename T>
bool Contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

template <typename T>
bool EmptyOrContains(const std::vector<T>& values, const T& value) {
  return values.empty() || Contains(values, value);
}

bool IsSpelling(const std::string& spelling, const BackupRecord& record) {
  return spelling == record.vm_id || spelling == record.vm_name ||
         absl::AsciiStrToLower(spelling) == record.vm_uuid;
}

bool HasVm(const std::vector<std::string>& vms, const BackupRecord& record) {
  return vms.empty() || std::any_of(vms.begin(), vms.end(), [&](const std::string& spelling) {
           return IsSpelling(spelling, record);
         });
}

bool HasLabels(const Labels& wanted, const Labels& labels) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& pair) {
    const auto found = labels.find(pair.first);
    return found != labels.end() && found->second == pair.second;
  });
}

}  // namespace

// The same decision in SQL: store/sqlite/query.cc. A property test holds them together.
bool Matches(const BackupFilter& filter, const BackupRecord& record) {
  if (record.state == BackupState::kClosed && !filter.show_closed &&
      !Contains(filter.states, BackupState::kClosed)) {
    return false;
  }
  if (filter.created_after && record.create_time < *filter.created_after) return false;
  if (filter.created_before && record.create_time >= *filter.created_before) return false;
  return EmptyOrContains(filter.ids, record.id) &&
         EmptyOrContains(filter.host_ids, record.host_id) &&
         EmptyOrContains(filter.states, record.state) &&
         EmptyOrContains(filter.repositories, record.repository) &&
         EmptyOrContains(filter.repository_ids, record.repository_id) &&
         HasVm(filter.vms, record) && HasLabels(filter.labels, record.labels);
}

}  // namespace vmkeep::controller
