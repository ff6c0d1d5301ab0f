#ifndef VMKEEP_TOOLS_VMKEEPCTL_CHECKUP_H_
#define VMKEEP_TOOLS_VMKEEPCTL_CHECKUP_H_

#include "vmkeep/v1/backup.pb.h"
#include "vmkeep/v1/inventory.pb.h"

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <optional>
#include <string>
#include <vector>

// What doctor says of what it found. Pure. Only what the API tells is judged.
namespace vmkeep::ctl {

enum class Level { kOk, kWarn, kFail };

struct Check {
  Level level = Level::kOk;
  std::string subject;  // "controller", "host kvm-1"
  std::string message;  // what is the case
  std::string remedy;   // what to do; empty when nothing is
};

// A clock that was read over the network.
struct ClockReading {
  absl::Time theirs;
  absl::Time before;  // ours, when we asked
  absl::Time after;   // ours, when the answer was there
};

Check CheckCertificate(absl::string_view subject, absl::Time expiry, absl::Time now);
Check CheckClock(const ClockReading& reading);
// When no clock could be read: `newest` is the latest time stamp of the controller that was seen. A
// time in our future tells a difference, one in our past tells nothing.
Check CheckClockBy(std::optional<absl::Time> newest, absl::Time now);
// `our_version`: vmkeepctl's.
Check CheckHost(const v1::Host& host, absl::string_view our_version);
Check CheckRepository(const v1::Repository& repository, absl::Time now);
// A VM on an overlay, or on several hosts; nothing to say of others.
std::optional<Check> CheckVm(const v1::Vm& vm, absl::Time now);
// An unfinished backup that is old or held up; nothing to say of others.
std::optional<Check> CheckUnfinished(const v1::Backup& backup, absl::Time now);

int CountOf(const std::vector<Check>& checks, Level level);
// A line for each, its remedy below it, and how many there are of each level.
std::string CheckupText(const std::vector<Check>& checks);
// {"checks": [{"level", "subject", "message", "remedy"}], "ok", "warn", "fail"}, a line for each
// check.
std::string CheckupJson(const std::vector<Check>& checks);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_CHECKUP_H_
