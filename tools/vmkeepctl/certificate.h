#ifndef VMKEEP_TOOLS_VMKEEPCTL_CERTIFICATE_H_
#define VMKEEP_TOOLS_VMKEEPCTL_CERTIFICATE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vmkeep::ctl {

// Until when the first certificate of `pem` is valid. BAD_CERTIFICATE (kInvalidArgument) when there
// is none.
absl::StatusOr<absl::Time> CertificateExpiry(absl::string_view pem);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_CERTIFICATE_H_
