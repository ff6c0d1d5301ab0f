#include "common/fault_point/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::error {

absl::Status InjectedFault(absl::string_view point) {
  return MakeError(absl::StatusCode::kUnavailable, "INJECTED_FAULT",
                   absl::StrCat("a test asked for a failure at ", point),
                   {{"point", std::string(point)}});
}

}  // namespace vmkeep::error
