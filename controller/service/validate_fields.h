#ifndef VMKEEP_CONTROLLER_SERVICE_VALIDATE_FIELDS_H_
#define VMKEEP_CONTROLLER_SERVICE_VALIDATE_FIELDS_H_

#include "controller/service/violations.h"
#include "controller/store/backup_store.h"
#include "vmkeep/v1/backup_service.pb.h"

#include "absl/strings/string_view.h"
#include <google/protobuf/map.h>
#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

// Rules for fields that several requests have. Each adds what is wrong under the name that the
// field has there.
namespace vmkeep::controller {

inline constexpr size_t kMaxVmId = 256;
inline constexpr size_t kMaxName = 128;
inline constexpr size_t kMaxRequestId = 128;
inline constexpr size_t kMaxAddress = 255;
inline constexpr int kMaxLabels = 64;
inline constexpr int kMaxFilterValues = 1000;
inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;

using ProtoLabels = google::protobuf::Map<std::string, std::string>;
using ProtoStrings = google::protobuf::RepeatedPtrField<std::string>;

// A user's text for a message: short, without control characters.
std::string Printable(absl::string_view text);

void CheckBackupId(absl::string_view field, absl::string_view id, Violations& found);
void CheckHostId(absl::string_view field, absl::string_view id, Violations& found);
void CheckLabels(absl::string_view field, const ProtoLabels& labels, Violations& found);

std::vector<HostId> ToHostIds(absl::string_view field, const ProtoStrings& ids, Violations& found);
// 0 becomes 50, more than 1000 becomes 1000.
int ToPageSize(int page_size, Violations& found);
BackupFilter ToFilter(const ::vmkeep::v1::BackupFilter& filter, Violations& found);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_VALIDATE_FIELDS_H_
