#include "common/fault_point/fault_point.h"

#include "common/clock.h"
#include "common/fault_point/errors.h"
#include "common/log.h"
#include "common/mutex.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace vmkeep {
namespace {

constexpr absl::Duration kHoldFor = absl::Seconds(60);
constexpr absl::Duration kPoll = absl::Milliseconds(2);

struct Order {
  std::string action;
  int nth = 1;
};

// The plan's line for this point.
std::optional<Order> OrderFor(const std::string& folder, const std::string& point) {
  std::ifstream plan(folder + "/plan");
  for (std::string line; std::getline(plan, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    Order order{words[0]};
    if (words.size() == 3 && words[1] == point && absl::SimpleAtoi(words[2], &order.nth)) {
      return order;
    }
  }
  return std::nullopt;
}

bool MakeFile(const std::string& path, int flags, absl::string_view content) {
  const int fd = open(path.c_str(), flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written =
      write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  close(fd);
  return written;
}

// The number of this hit among those of all processes.
int CountHit(const std::string& folder, const std::string& point) {
  int n = 1;
  while (!MakeFile(absl::StrCat(folder, "/hit.", point, ".", n), O_EXCL, "") && errno == EEXIST)
    ++n;
  return n;
}

int CountHere(const std::string& point) {
  static Mutex mu;
  static std::map<std::string, int>& hits = *new std::map<std::string, int>();
  MutexLock lock(&mu);
  return ++hits[point];
}

void Hold(const std::string& folder, const std::string& point) {
  static std::atomic<int> serial = 0;
  const std::string held = absl::StrCat(folder, "/held.", point);
  const std::string beside = absl::StrCat(folder, "/new.", getpid(), ".", ++serial);
  const bool made =
      MakeFile(beside, O_EXCL, absl::StrCat(program_invocation_short_name, " ", getpid(), "\n")) &&
      link(beside.c_str(), held.c_str()) == 0;
  unlink(beside.c_str());
  if (!made) return;
  // Whoever takes a plan back removes the plan first: a hold that came too late sees that here.
  if (!OrderFor(folder, point)) unlink(held.c_str());
  const absl::Duration until = RealClock().Monotonic() + kHoldFor;
  while (access(held.c_str(), F_OK) == 0) {
    if (RealClock().Monotonic() >= until) {
      log::Error("fault_point_let_go", {{"point", point}});
      unlink(held.c_str());
    }
    RealClock().WaitFor(kPoll, std::stop_token());
  }
}

absl::Status Hit(absl::string_view name, absl::string_view key, bool can_fail) {
  const char* const set = std::getenv("VMKEEP_FAULT_DIR");
  if (set == nullptr) return absl::OkStatus();
  const std::string folder = set;
  std::string point(name);
  if (!key.empty()) absl::StrAppend(&point, ":", absl::StrReplaceAll(key, {{" ", "-"}}));

  std::string action;
  if (const std::optional<Order> order = OrderFor(folder, point)) {
    const int hit = CountHit(folder, point);
    const bool now = order->action == "fail" ? hit >= order->nth : hit == order->nth;
    if (now && (can_fail || order->action == "hold")) action = order->action;
  }
  (void)MakeFile(
      folder + "/trace", O_APPEND,
      absl::StrCat(program_invocation_short_name, " ", getpid(), " ", point, " ", CountHere(point),
                   can_fail ? " fault" : " crash", action.empty() ? "" : " ", action, "\n"));
  if (action == "hold") Hold(folder, point);
  return action.empty() || action == "hold" ? absl::OkStatus() : error::InjectedFault(point);
}

}  // namespace

absl::Status FaultPoint(absl::string_view name, absl::string_view key) {
  return Hit(name, key, /*can_fail=*/true);
}

void CrashPoint(absl::string_view name, absl::string_view key) {
  (void)Hit(name, key, /*can_fail=*/false);
}

}  // namespace vmkeep
