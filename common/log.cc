#include "common/log.h"

#include "common/error.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <functional>
#include <memory>
#include <set>

namespace vmkeep::log {
namespace {

constexpr size_t kFileBytes = size_t{16} << 20;
constexpr size_t kFiles = 5;

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// A value is quoted when a reader could not tell its end.
std::string Quote(absl::string_view value) {
  const bool plain =
      !value.empty() && value.find_first_of(" \"=\\\n\r\t") == absl::string_view::npos;
  return plain ? std::string(value) : absl::StrCat("\"", absl::Utf8SafeCEscape(value), "\"");
}

// The innermost scope of this thread.
const Scope*& Innermost() {
  thread_local const Scope* innermost = nullptr;
  return innermost;
}

std::vector<std::pair<std::string, std::string>> Kept(Fields fields) {
  std::vector<std::pair<std::string, std::string>> kept;
  for (const Field& field : fields) kept.emplace_back(field.key, field.value);
  return kept;
}

// What the line does not name itself, the innermost scope's first.
void AppendScopes(Fields named, std::string& line) {
  std::set<std::string, std::less<>> keys;
  for (const Field& field : named) keys.emplace(field.key);
  for (const Scope* scope = Innermost(); scope != nullptr; scope = scope->outer()) {
    for (const auto& [key, value] : scope->fields()) {
      if (keys.insert(key).second) absl::StrAppend(&line, " ", key, "=", Quote(value));
    }
  }
}

void Write(Level level, absl::string_view event, Fields fields) {
  const spdlog::level::level_enum at = ToSpdlog(level);
  spdlog::logger* logger = spdlog::default_logger_raw();
  if (!logger->should_log(at)) return;
  std::string line(event);
  for (const Field& field : fields) absl::StrAppend(&line, " ", field.key, "=", Quote(field.value));
  AppendScopes(fields, line);
  logger->log(at, spdlog::string_view_t(line.data(), line.size()));
}

void Use(absl::string_view program, Level level, spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>(std::string(program), std::move(sink));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %n %l %v", spdlog::pattern_time_type::utc);
  logger->set_level(ToSpdlog(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

Scope::Scope(Fields fields) : fields_(Kept(fields)), outer_(std::exchange(Innermost(), this)) {}
Scope::~Scope() { Innermost() = outer_; }

void Init(absl::string_view program, Level level) {
  Use(program, level, std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

absl::Status InitToFile(absl::string_view program, Level level, const std::string& path) {
  try {
    Use(program, level,
        std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, kFileBytes, kFiles - 1));
  } catch (const spdlog::spdlog_ex& failed) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "LOG_FILE",
                     absl::StrCat("cannot log into ", path, ": ", failed.what()), {{"path", path}});
  }
  return absl::OkStatus();
}

void Debug(absl::string_view event, Fields fields) { Write(Level::kDebug, event, fields); }
void Info(absl::string_view event, Fields fields) { Write(Level::kInfo, event, fields); }
void Warning(absl::string_view event, Fields fields) { Write(Level::kWarning, event, fields); }
void Error(absl::string_view event, Fields fields) { Write(Level::kError, event, fields); }

}  // namespace vmkeep::log
