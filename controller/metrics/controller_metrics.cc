#include "controller/metrics/controller_metrics.h"

#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "controller/domain/lifecycle.h"
#include "controller/domain/states.h"
#include "controller/metrics/families.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

using metrics::Gauges;
using metrics::Labels;

constexpr absl::Duration kStorePatience = absl::Seconds(1);
constexpr std::array kPassingStates = {BackupState::kRequested, BackupState::kBuilding,
                                       BackupState::kScrub, BackupState::kScrubbing};
constexpr std::array<std::pair<Availability, const char*>, 4> kAvailabilities = {
    {{Availability::kUnknown, "UNKNOWN"},
     {Availability::kOnline, "ONLINE"},
     {Availability::kUnreachable, "UNREACHABLE"},
     {Availability::kRefused, "REFUSED"}}};
constexpr std::array<std::pair<Health, const char*>, 4> kHealths = {
    {{Health::kUnknown, "UNKNOWN"},
     {Health::kHealthy, "HEALTHY"},
     {Health::kIll, "ILL"},
     {Health::kUninitialized, "UNINITIALIZED"}}};

// What the store knows, of one moment.
struct Records {
  std::map<BackupState, int64_t> counts;
  std::vector<BackupRecord> open;
};

// Nothing when the store has no answer within the patience; the answer that comes later is thrown
// away.
std::optional<Records> ReadRecords(BackupStore& store) {
  struct Waiting {
    Mutex mu;
    CondVar answered;
    bool done ABSL_GUARDED_BY(mu) = false;
    std::optional<Records> records ABSL_GUARDED_BY(mu);
  };
  auto waiting = std::make_shared<Waiting>();
  store.Read([waiting](absl::StatusOr<StoreView*> view) {
    const auto read = [&]() -> absl::StatusOr<Records> {
      VMKEEP_RETURN_IF_ERROR(view.status());
      Records records;
      VMKEEP_ASSIGN_OR_RETURN(records.counts, (*view)->CountByState());
      VMKEEP_ASSIGN_OR_RETURN(records.open, (*view)->ListOpen());
      return records;
    };
    absl::StatusOr<Records> records = read();
    MutexLock lock(&waiting->mu);
    waiting->done = true;
    if (records.ok()) waiting->records = *std::move(records);
    waiting->answered.NotifyAll();
  });
  const absl::Duration until = RealClock().Monotonic() + kStorePatience;
  MutexLock lock(&waiting->mu);
  while (!waiting->done && RealClock().Monotonic() < until) {
    waiting->answered.WaitFor(&waiting->mu, until - RealClock().Monotonic());
  }
  return std::move(waiting->records);
}

absl::Time SinceWhen(const BackupRecord& record) {
  return IsUnfinished(record.state) ? record.create_time : record.update_time;
}

void SayQueue(const std::vector<BackupRecord>& open, Gauges& gauges) {
  int backups = 0;
  int scrubs = 0;
  for (const BackupRecord& record : open) {
    const Need need = NeedOf(record);
    if (need == Need::kBackupTask) ++backups;
    if (need == Need::kScrubTask) ++scrubs;
  }
  gauges.Set(family::kQueue, {{"kind", "backup"}}, backups);
  gauges.Set(family::kQueue, {{"kind", "scrub"}}, scrubs);
}

void SayReserved(const std::vector<BackupRecord>& open, Gauges& gauges) {
  std::map<std::string, int64_t> reserved;
  for (const BackupRecord& record : open) {
    if (record.task_open && !record.task_is_scrub && !record.repository_id.empty()) {
      reserved[record.repository_id] += record.reserved_bytes;
    }
  }
  for (const auto& [id, bytes] : reserved) {
    gauges.Set(family::kRepositoryReserved, {{"repository_id", id}}, static_cast<double>(bytes));
  }
}

}  // namespace

ControllerMetrics::ControllerMetrics(BackupStore& store, const Inventory& inventory,
                                     const LiveState& live, Clock& clock)
    : store_(store), inventory_(inventory), live_(live), clock_(clock) {}

void ControllerMetrics::Collect(Gauges& gauges) const {
  gauges.Set(family::kBuildInfo, {{"version", std::string(kVersion)}}, 1);
  CollectRecords(gauges);
  CollectHosts(gauges);
  CollectOverlays(gauges);
  CollectRepositories(gauges);
}

void ControllerMetrics::CollectRecords(Gauges& gauges) const {
  const std::optional<Records> records = ReadRecords(store_);
  gauges.Set(family::kStoreReadable, {}, records.has_value() ? 1 : 0);
  if (!records) return;
  for (const BackupState state : kAllStates) {
    const auto found = records->counts.find(state);
    gauges.Set(family::kBackups, {{"state", std::string(StateName(state))}},
               found == records->counts.end() ? 0 : static_cast<double>(found->second));
  }
  const absl::Time now = clock_.Now();
  for (const BackupState state : kPassingStates) {
    absl::Duration oldest = absl::ZeroDuration();
    for (const BackupRecord& record : records->open) {
      if (record.state == state) oldest = std::max(oldest, now - SinceWhen(record));
    }
    gauges.Set(family::kOldestUnfinished, {{"state", std::string(StateName(state))}},
               absl::ToDoubleSeconds(oldest));
  }
  SayQueue(records->open, gauges);
  SayReserved(records->open, gauges);
  for (const auto& [type, count] : live_.CountConditions()) {
    gauges.Set(family::kConditions, {{"type", type}}, count);
  }
}

void ControllerMetrics::CollectHosts(Gauges& gauges) const {
  std::map<Availability, int> counts;
  for (const HostView& host : inventory_.ListHosts()) {
    ++counts[host.availability];
    gauges.Set(family::kHostOnline, {{"host", host.record.id}},
               host.availability == Availability::kOnline ? 1 : 0);
  }
  for (const auto& [availability, name] : kAvailabilities) {
    gauges.Set(family::kHosts, {{"availability", name}}, counts[availability]);
  }
}

void ControllerMetrics::CollectOverlays(Gauges& gauges) const {
  const absl::Time now = clock_.Now();
  for (const ResolvedVm& resolved : inventory_.ListVms(kAnyProject)) {
    const VmRecord& vm = resolved.vm;
    if (!vm.overlay) continue;
    const Labels labels = {{"host", vm.host_id}, {"vm", vm.uuid}, {"name", vm.name}};
    const absl::Duration since = std::max(absl::ZeroDuration(), now - vm.overlay->since);
    if (!vm.overlay->files_only) {
      gauges.Set(family::kOnOverlay, labels, absl::ToDoubleSeconds(since));
    }
    gauges.Set(family::kOverlayBytes, labels, static_cast<double>(vm.overlay->bytes));
    gauges.Set(family::kNeedsAttention, labels, vm.overlay->needs_attention ? 1 : 0);
  }
}

void ControllerMetrics::CollectRepositories(Gauges& gauges) const {
  for (const RepositoryRecord& repository : inventory_.ListAllRepositories()) {
    Labels labels = {{"host", repository.host_id},
                     {"repository", absl::StrCat(repository.slot)},
                     {"repository_id", repository.id}};
    gauges.Set(family::kRepositoryTotal, labels, static_cast<double>(repository.total_bytes));
    gauges.Set(family::kRepositoryFree, labels, static_cast<double>(repository.free_bytes));
    if (repository.probe_time > absl::UnixEpoch()) {
      gauges.Set(family::kRepositoryProbeAge, labels,
                 absl::ToDoubleSeconds(clock_.Now() - repository.probe_time));
    }
    for (const auto& [health, name] : kHealths) {
      labels["health"] = name;
      gauges.Set(family::kRepositoryHealth, labels, repository.health == health ? 1 : 0);
    }
  }
}

}  // namespace vmkeep::controller
