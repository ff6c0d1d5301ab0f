#ifndef VMKEEP_COMMON_LOG_H_
#define VMKEEP_COMMON_LOG_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

// One line per fact, "key=value", to stderr or a file: time, level, event, fields. Every line about
// a job has backup= and host=. An error is logged once, where it is handled. Never a secret: domain
// XML is never logged. Thread-safe.
namespace vmkeep::log {

struct Field {
  Field(absl::string_view k, const absl::AlphaNum& v) : key(k), value(v.Piece()) {}
  absl::string_view key;
  std::string value;
};
using Fields = std::initializer_list<Field>;

enum class Level { kDebug, kInfo, kWarning, kError };

// While it lives, every line of this thread has these fields too, unless the line names them
// itself: a job's backup= and host= reach the code below that knows of neither. Scopes nest. Stays
// on its thread.
class Scope {
 public:
  Scope(Fields fields);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }
  const Scope* outer() const { return outer_; }  // null: it is the outermost

 private:
  const std::vector<std::pair<std::string, std::string>> fields_;
  const Scope* const outer_;
};

// Sets what is written from now on; `program` starts each line.
void Init(absl::string_view program, Level level);
// The same, into a file, which is renamed to <name>.1.<ending> when it has 16 MiB; five are kept.
// FAILED_PRECONDITION, reason LOG_FILE, when it cannot be opened.
absl::Status InitToFile(absl::string_view program, Level level, const std::string& path);

void Debug(absl::string_view event, Fields fields = {});
void Info(absl::string_view event, Fields fields = {});
void Warning(absl::string_view event, Fields fields = {});
void Error(absl::string_view event, Fields fields = {});

}  // namespace vmkeep::log

#endif  // VMKEEP_COMMON_LOG_H_
