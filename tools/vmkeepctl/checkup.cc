#include "tools/vmkeepctl/checkup.h"

#include "tools/vmkeepctl/output.h"
#include "tools/vmkeepctl/progress.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include <algorithm>

namespace vmkeep::ctl {
namespace {

using absl::StrCat;

constexpr absl::Duration kRenewSoon = absl::Hours(24 * 30);
// Time stamps that are compared by people, and certificates, bear this much.
constexpr absl::Duration kClockWarn = absl::Seconds(2);
constexpr absl::Duration kClockFail = absl::Minutes(1);
constexpr char kClockRemedy[] =
    "see that both machines keep their time by NTP (\"timedatectl\" on each)";
// An executor probes every minute.
constexpr absl::Duration kProbeIsOld = absl::Minutes(5);
constexpr double kLowShare = 0.1;
constexpr double kVeryLowShare = 0.03;
constexpr absl::Duration kBackupIsOld = absl::Hours(24);
constexpr absl::Duration kOverlayIsOld = absl::Hours(12);

std::string DaysText(absl::Duration duration) {
  const int64_t days = absl::ToInt64Hours(duration) / 24;
  return StrCat(days, days == 1 ? " day" : " days");
}

absl::string_view LevelName(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarn:
      return "warn";
    case Level::kFail:
      return "fail";
  }
  return "fail";
}

// "repository 1 of host kvm-1 (/mnt/backup-p)"
std::string NameOf(const v1::Repository& repository) {
  return StrCat("repository ", repository.slot(), " of host ", OrDash(repository.host_id()),
                repository.path().empty() ? "" : " (", Printable(repository.path()),
                repository.path().empty() ? "" : ")");
}

// Another finding about the same thing: the worse level counts, and both remedies.
void AddFinding(Check& check, Level level, absl::string_view remedy) {
  check.level = std::max(check.level, level);
  absl::StrAppend(&check.remedy, check.remedy.empty() ? "" : "; ", remedy);
}

void CheckProbe(const v1::Repository& repository, absl::Time now, Check& check) {
  if (!repository.has_probe_time()) {
    absl::StrAppend(&check.message, ", never probed");
    return AddFinding(
        check, Level::kWarn,
        "wait a minute; then see that the host is ONLINE and read its executor's log");
  }
  const absl::Duration age = now - ToTime(repository.probe_time());
  absl::StrAppend(&check.message, ", probed ",
                  age < absl::ZeroDuration() ? "just now" : StrCat(DurationText(age), " ago"));
  if (age <= kProbeIsOld) return;
  AddFinding(check, Level::kWarn,
             "the last probe is old: a mount that hangs, or a host that does not answer; run "
             "\"df\" on the host");
}

void CheckSpace(const v1::Repository& repository, Check& check) {
  const auto total = static_cast<double>(repository.total_bytes());
  const int64_t free = repository.free_bytes() - repository.reserved_bytes();
  const double share = total > 0 ? static_cast<double>(std::max<int64_t>(free, 0)) / total : 0;
  absl::StrAppend(&check.message, absl::StrFormat(", %.0f%% of ", 100 * share),
                  FormatBytes(repository.total_bytes()),
                  " free after what running backups were promised");
  if (share >= kLowShare) return;
  AddFinding(check, share < kVeryLowShare ? Level::kFail : Level::kWarn,
             "scrub backups that are not needed, or make the repository larger");
}

// What is in the way, with the files.
std::string WhyOf(const v1::Overlay& overlay) {
  const std::string files = StrCat(" (", absl::StrJoin(overlay.files(), ", "), ")");
  if (overlay.reason().empty()) return overlay.files().empty() ? "" : Printable(files);
  return StrCat(Printable(files), "; ", Printable(overlay.reason()), ": ",
                Printable(overlay.message()));
}

}  // namespace

Check CheckCertificate(absl::string_view subject, absl::Time expiry, absl::Time now) {
  Check check{Level::kOk, std::string(subject), StrCat("valid until ", TimeText(expiry)), ""};
  const absl::Duration left = expiry - now;
  if (left > kRenewSoon) return check;
  const bool over = left <= absl::ZeroDuration();
  check.level = over ? Level::kFail : Level::kWarn;
  absl::StrAppend(&check.message, over ? ": it is over" : StrCat(": ", DaysText(left), " left"));
  check.remedy =
      "issue a new one and put it into the same files; they are read again within seconds";
  return check;
}

Check CheckClock(const ClockReading& reading) {
  // The answer was made between the two: only what lies outside is a difference.
  const absl::Duration ahead = reading.theirs - reading.after;
  const absl::Duration behind = reading.before - reading.theirs;
  const absl::Duration off = std::max({ahead, behind, absl::ZeroDuration()});
  if (off < kClockWarn) return {Level::kOk, "clock", "ours and the controller's agree", ""};
  return {off < kClockFail ? Level::kWarn : Level::kFail, "clock",
          StrCat("the controller's is ", DurationText(off),
                 ahead > behind ? " ahead of" : " behind", " ours"),
          kClockRemedy};
}

Check CheckClockBy(std::optional<absl::Time> newest, absl::Time now) {
  if (newest.has_value() && *newest - now >= kClockWarn) {
    const absl::Duration ahead = *newest - now;
    return {ahead < kClockFail ? Level::kWarn : Level::kFail, "clock",
            StrCat("the controller's is at least ", DurationText(ahead), " ahead of ours"),
            kClockRemedy};
  }
  return {Level::kWarn, "clock",
          "the controller's could not be compared: it tells its time only in the answer to a valid "
          "backup request, and no VM can be backed up right now",
          "compare \"date -u\" on both machines"};
}

Check CheckHost(const v1::Host& host, absl::string_view our_version) {
  Check check{
      Level::kOk, StrCat("host ", OrDash(host.id())),
      StrCat(v1::Host::Availability_Name(host.availability()), ", ", OrDash(host.hypervisor()),
             host.simulated() ? " (simulated)" : "",
             host.availability() == v1::Host::ONLINE && host.message().empty() ? " answers" : "",
             ", version ", OrDash(host.version())),
      ""};
  if (host.availability() != v1::Host::ONLINE) {
    check.level = Level::kFail;
    if (!host.message().empty()) absl::StrAppend(&check.message, ": ", Printable(host.message()));
    check.remedy =
        host.availability() == v1::Host::REFUSED
            ? StrCat("if the host was set up anew: \"vmkeepctl host confirm ", OrDash(host.id()),
                     " EXECUTOR_UUID\"")
            : "see that its executor runs, and that the controller reaches it at its address";
    return check;
  }
  if (!host.message().empty()) {
    absl::StrAppend(&check.message, ", ", Printable(host.message()));
    AddFinding(
        check, Level::kFail,
        "see that the hypervisor's service runs there (\"systemctl status libvirtd\"): until it "
        "answers, no backup can be taken or merged");
  }
  if (host.version() != our_version) {
    absl::StrAppend(&check.message, ", this vmkeepctl is ", our_version);
    AddFinding(check, Level::kWarn, "bring all machines to one version");
  }
  if (host.draining()) {
    absl::StrAppend(&check.message, ", draining: no new backup starts there");
    AddFinding(
        check, Level::kWarn,
        StrCat("when the work on it is done: \"vmkeepctl host undrain ", OrDash(host.id()), "\""));
  }
  return check;
}

Check CheckRepository(const v1::Repository& repository, absl::Time now) {
  Check check{Level::kOk, NameOf(repository), v1::Repository::Health_Name(repository.health()), ""};
  switch (repository.health()) {
    case v1::Repository::HEALTHY:
      CheckSpace(repository, check);
      CheckProbe(repository, now, check);
      if (!repository.message().empty()) {  // it works, with somebody left hanging there
        absl::StrAppend(&check.message, ": ", Printable(repository.message()));
        AddFinding(check, Level::kWarn,
                   "what hangs there ends when the storage answers it; if it stays, take the mount "
                   "away on the host (umount -f -l) and mount it anew");
      }
      return check;
    case v1::Repository::UNINITIALIZED:
      check.level = Level::kWarn;
      check.remedy =
          StrCat("if it is mounted and new: \"vmkeepctl repo init ", OrDash(repository.host_id()),
                 " ", repository.slot(), "\"; else mount it on the host");
      break;
    default:
      check.level = Level::kFail;
      check.remedy = "check the storage server, the network to it and the mount on the host";
      break;
  }
  if (!repository.message().empty())
    absl::StrAppend(&check.message, ": ", Printable(repository.message()));
  return check;
}

std::optional<Check> CheckVm(const v1::Vm& vm, absl::Time now) {
  const std::string subject = StrCat("vm ", Printable(vm.name().empty() ? vm.id() : vm.name()));
  if (vm.has_overlay()) {
    const v1::Overlay& overlay = vm.overlay();
    const absl::Duration age =
        overlay.has_since() ? now - ToTime(overlay.since()) : absl::ZeroDuration();
    const std::string message =
        StrCat(overlay.files_only() ? "has files left of an overlay of " : "runs on an overlay of ",
               FormatBytes(overlay.bytes()), " on host ", OrDash(vm.host_id()),
               overlay.has_since() ? StrCat(", for ", DurationText(age)) : "",
               overlay.backup_id().empty() ? "" : ", of backup ", Printable(overlay.backup_id()));
    if (overlay.needs_attention())
      return Check{Level::kFail, subject, StrCat(message, WhyOf(overlay)),
                   OrDash(overlay.remedy())};
    if (age > kOverlayIsOld) {
      return Check{Level::kWarn, subject, message,
                   "it grows with the guest's writes: see how far the backup is, or scrub it"};
    }
  }
  if (vm.candidate_host_ids_size() > 1) {
    return Check{Level::kWarn, subject,
                 StrCat("several hosts report it: ",
                        Printable(absl::StrJoin(vm.candidate_host_ids(), ", "))),
                 "undefine it where it does not belong, or wait until its migration has ended"};
  }
  return std::nullopt;
}

std::optional<Check> CheckUnfinished(const v1::Backup& backup, absl::Time now) {
  const std::string conditions = ConditionsText(backup);
  const absl::Duration age =
      backup.has_create_time() ? now - ToTime(backup.create_time()) : absl::ZeroDuration();
  if (age < kBackupIsOld && conditions.empty()) return std::nullopt;
  return Check{
      Level::kWarn, StrCat("backup ", OrDash(backup.id())),
      StrCat("of VM ", VmLabel(backup), " is ", v1::Backup::State_Name(backup.state()),
             ", requested ", DurationText(age), " ago", conditions.empty() ? "" : "; ", conditions),
      StrCat("\"vmkeepctl backup watch ", OrDash(backup.id()),
             "\" shows whether it moves; \"vmkeepctl backup scrub ", OrDash(backup.id()),
             "\" gives it up")};
}

int CountOf(const std::vector<Check>& checks, Level level) {
  return static_cast<int>(std::count_if(
      checks.begin(), checks.end(), [level](const Check& check) { return check.level == level; }));
}

std::string CheckupText(const std::vector<Check>& checks) {
  std::string text;
  for (const Check& check : checks) {
    absl::StrAppend(&text, absl::StrFormat("%-4s  ", LevelName(check.level)), check.subject, ": ",
                    check.message, "\n");
    if (!check.remedy.empty()) absl::StrAppend(&text, "      -> ", check.remedy, "\n");
  }
  return StrCat(text, CountOf(checks, Level::kOk), " ok, ", CountOf(checks, Level::kWarn),
                " warn, ", CountOf(checks, Level::kFail), " fail\n");
}

std::string CheckupJson(const std::vector<Check>& checks) {
  const std::string list = absl::StrJoin(checks, ",\n", [](std::string* out, const Check& check) {
    absl::StrAppend(out, "  {\"level\": ", JsonString(LevelName(check.level)),
                    ", \"subject\": ", JsonString(check.subject),
                    ", \"message\": ", JsonString(check.message),
                    ", \"remedy\": ", JsonString(check.remedy), "}");
  });
  return StrCat("{\"checks\": [\n", list, "\n ],\n \"ok\": ", CountOf(checks, Level::kOk),
                ", \"warn\": ", CountOf(checks, Level::kWarn),
                ", \"fail\": ", CountOf(checks, Level::kFail), "}\n");
}

}  // namespace vmkeep::ctl
