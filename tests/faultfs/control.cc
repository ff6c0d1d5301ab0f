#include "tests/faultfs/control.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace vmkeep::faultfs {
namespace {

constexpr std::array kErrnos = {std::pair{"EIO", EIO},
                                std::pair{"ENOSPC", ENOSPC},
                                std::pair{"ESTALE", ESTALE},
                                std::pair{"EDQUOT", EDQUOT},
                                std::pair{"EROFS", EROFS},
                                std::pair{"EACCES", EACCES},
                                std::pair{"ENOENT", ENOENT},
                                std::pair{"EEXIST", EEXIST},
                                std::pair{"ETIMEDOUT", ETIMEDOUT},
                                std::pair{"EINTR", EINTR},
                                std::pair{"ENOTEMPTY", ENOTEMPTY}};

int ErrnoOf(const std::string& name) {
  for (const auto& [each, err] : kErrnos) {
    if (name == each) return err;
  }
  return 0;
}

[[noreturn]] void Refuse(const std::string& line) {
  (void)std::fprintf(stderr, "faultfs: not understood: %s\n", line.c_str());
  _exit(2);
}

Rule Parse(const std::string& line) {
  std::istringstream words(line);
  Rule rule;
  std::string fault;
  std::string from;
  if (!(words >> rule.operation >> rule.path_part >> fault)) Refuse(line);
  if (fault.starts_with("after-")) {
    rule.after = true;
    fault = fault.substr(6);
  }
  if (fault == "hang") {
    rule.fault = Rule::Fault::kHang;
  } else if (fault == "stuck") {
    rule.fault = Rule::Fault::kStuck;
  } else if ((rule.err = ErrnoOf(fault)) == 0) {
    Refuse(line);
  }
  if (words >> from) {
    if (!from.starts_with("from=")) Refuse(line);
    rule.from = std::strtoll(from.c_str() + 5, nullptr, 10);
  }
  return rule;
}

}  // namespace

bool Rule::Fits(const std::string& op, const std::string& path, int64_t end) const {
  return (operation == "*" || operation == op) &&
         (path_part == "*" || path.find(path_part) != std::string::npos) &&
         (from == 0 || end > from);
}

Rule Control::Find(const std::string& op, const std::string& path, int64_t end) const {
  for (const Rule& rule : Rules()) {
    if (rule.Fits(op, path, end)) return rule;
  }
  return {};
}

std::vector<Rule> Control::Rules() const {
  std::vector<Rule> rules;
  std::ifstream file(control_path_);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') rules.push_back(Parse(line));
  }
  return rules;
}

void Control::Log(const std::string& op, const std::string& path, const std::string& result) {
  if (log_ == nullptr) return;
  MutexLock lock(&mu_);
  (void)std::fprintf(log_, "%s %s %s\n", op.c_str(), path.c_str(), result.c_str());
  (void)std::fflush(log_);
}

std::string ErrnoName(int err) {
  for (const auto& [name, each] : kErrnos) {
    if (err == each) return name;
  }
  return std::to_string(err);
}

}  // namespace vmkeep::faultfs
