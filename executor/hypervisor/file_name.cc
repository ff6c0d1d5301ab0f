#include "executor/hypervisor/file_name.h"

namespace vmkeep::executor {

absl::string_view FileNameOf(absl::string_view path) {
  const size_t separator = path.find_last_of("\\/");
  return separator == absl::string_view::npos ? path : path.substr(separator + 1);
}

}  // namespace vmkeep::executor
