#ifndef VMKEEP_COMMON_STATUS_MACROS_H_
#define VMKEEP_COMMON_STATUS_MACROS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <utility>

// Returns from the enclosing function when `expr`, an absl::Status, is not OK. Payloads are kept.
#define VMKEEP_RETURN_IF_ERROR(expr)                                     \
  do {                                                                   \
    if (absl::Status vmkeep_s = (expr); !vmkeep_s.ok()) return vmkeep_s; \
  } while (false)

#define VMKEEP_CONCAT_INNER(a, b) a##b
#define VMKEEP_CONCAT(a, b) VMKEEP_CONCAT_INNER(a, b)

// Declares or assigns `lhs` from `expr`, an absl::StatusOr, or returns its status. Two statements:
// not for the body of an `if` without braces.
#define VMKEEP_ASSIGN_OR_RETURN(lhs, expr) \
  VMKEEP_ASSIGN_OR_RETURN_INNER(VMKEEP_CONCAT(vmkeep_status_or_, __LINE__), lhs, expr)
#define VMKEEP_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return std::move(tmp).status();      \
  lhs = *std::move(tmp)

#endif  // VMKEEP_COMMON_STATUS_MACROS_H_
