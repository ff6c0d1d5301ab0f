#ifndef VMKEEP_COMMON_LOG_H_
#define VMKEEP_COMMON_LOG_H_

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include <initializer_list>
#include <string>
#include <utility>

// One line per fact, "key=value", to stderr: time, level, event, fields. Every line about a job has
// backup= and host=. An error is logged once, where it is handled. Never a secret: domain XML is
// never logged. Thread-safe.
namespace vmkeep::log {

struct Field {
  Field(absl::string_view k, const absl::AlphaNum& v) : key(k), value(v.Piece()) {}
  absl::string_view key;
  std::string value;
};
using Fields = std::initializer_list<Field>;

enum class Level { kDebug, kInfo, kWarning, kError };

// Sets what is written from now on; `program` starts each line.
void Init(absl::string_view program, Level level);

void Debug(absl::string_view event, Fields fields = {});
void Info(absl::string_view event, Fields fields = {});
void Warning(absl::string_view event, Fields fields = {});
void Error(absl::string_view event, Fields fields = {});

}  // namespace vmkeep::log

#endif  // VMKEEP_COMMON_LOG_H_
