#ifndef VMKEEP_CONTROLLER_SERVICE_VIOLATIONS_H_
#define VMKEEP_CONTROLLER_SERVICE_VIOLATIONS_H_

#include "common/error.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include <cstddef>
#include <vector>

namespace vmkeep::controller {

// Collects what is wrong with one request, so that one answer names it all.
class Violations {
 public:
  // At most this many are named: the details have to fit into a trailer.
  static constexpr size_t kMax = 16;

  void Add(absl::string_view field, absl::string_view description) {
    if (found_.size() < kMax) found_.push_back({std::string(field), std::string(description)});
  }
  absl::Status ToStatus() const {
    return found_.empty() ? absl::OkStatus() : InvalidArgument(found_);
  }

  // Adds what is wrong with a text: not UTF-8, control characters, or not `min` to `max` code
  // points.
  void CheckText(absl::string_view field, absl::string_view value, size_t min, size_t max);

 private:
  std::vector<FieldViolation> found_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_VIOLATIONS_H_
