#include "executor/metrics/executor_metrics.h"

#include "common/version.h"
#include "executor/metrics/families.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using metrics::Gauges;
using metrics::Labels;
using ::vmkeep::v1::Repository;

constexpr std::array kHealths = {
    std::pair{Repository::HEALTH_UNSPECIFIED, "UNKNOWN"}, std::pair{Repository::HEALTHY, "HEALTHY"},
    std::pair{Repository::ILL, "ILL"}, std::pair{Repository::UNINITIALIZED, "UNINITIALIZED"}};

}  // namespace

void ExecutorMetrics::Collect(Gauges& gauges) {
  gauges.Set(family::kBuildInfo, {{"version", std::string(kVersion)}}, 1);
  gauges.Set(family::kHypervisorReachable, {}, hypervisor_.reachable() ? 1 : 0);
  CollectTasks(gauges);
  CollectOverlays(gauges);
  CollectRepositories(gauges);
  worker_.Collect(gauges);
}

void ExecutorMetrics::CollectTasks(Gauges& gauges) {
  std::map<std::pair<std::string, std::string>, int> counts;
  std::map<std::string, absl::Duration> oldest;
  for (const TaskKind kind : {TaskKind::kBackup, TaskKind::kScrub}) {
    oldest[std::string(TaskKindName(kind))] = absl::ZeroDuration();
  }
  const absl::Time now = env_.clock.Now();
  for (const TaskManager::Look& look : tasks_.LookAtAll()) {
    const std::string kind(TaskKindName(look.kind));
    ++counts[{kind, look.phase}];
    oldest[kind] = std::max(oldest[kind], now - look.accept_time);
  }
  for (const auto& [key, count] : counts) {
    gauges.Set(family::kTasks, {{"kind", key.first}, {"phase", key.second}}, count);
  }
  for (const auto& [kind, age] : oldest) {
    gauges.Set(family::kTaskAge, {{"kind", kind}}, absl::ToDoubleSeconds(age));
  }
}

void ExecutorMetrics::CollectOverlays(Gauges& gauges) {
  const absl::Time now = env_.clock.Now();
  for (const MeasuredHypervisor::Seen& seen : hypervisor_.SeenOverlays()) {
    const std::string task = OverlayTask(seen.overlay);
    absl::Time since = seen.first_seen;
    const auto known = env_.journal.FindByOverlay(task);
    if (known.ok() && known->has_value() && (*known)->data.snapshot) {
      since = (*known)->data.snapshot->instant;
    }
    const Labels labels = {{"vm", seen.vm_uuid}, {"name", seen.vm_name}, {"disk", seen.target}};
    gauges.Set(family::kOverlayAge, labels,
               absl::ToDoubleSeconds(std::max(absl::ZeroDuration(), now - since)));
    gauges.Set(family::kOverlayNeedsAttention, labels, tasks_.Lives(task) ? 0 : 1);
  }
}

void ExecutorMetrics::CollectRepositories(Gauges& gauges) {
  for (const Repository& repository : repositories_.List()) {
    Labels labels = {{"repository", absl::StrCat(repository.slot())}};
    gauges.Set(family::kRepositoryFree, labels, static_cast<double>(repository.free_bytes()));
    gauges.Set(family::kWorkersAbandoned, labels, guard_.LookAt(repository.path()).hanging);
    for (const auto& [health, name] : kHealths) {
      labels["health"] = name;
      gauges.Set(family::kRepositoryHealth, labels, repository.health() == health ? 1 : 0);
    }
  }
}

}  // namespace vmkeep::executor
