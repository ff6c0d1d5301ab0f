#include "common/metrics/registry.h"

#include "common/mutex.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <functional>
#include <utility>
#include <vector>

namespace vmkeep::metrics {

namespace {

// A family and what was counted of it so far. prometheus-cpp's own look-up makes a metric at each
// call, and throws it away when it is there already.
template <typename Metric>
struct Counted {
  prometheus::Family<Metric>* family = nullptr;
  std::map<Labels, Metric*> metrics;
};

template <typename Metric>
using CountedByName = std::map<std::string, Counted<Metric>, std::less<>>;

// `make_family` and `add` make what is not there yet.
template <typename Metric, typename MakeFamily, typename Add>
Metric& Find(CountedByName<Metric>& all, const char* name, const Labels& labels,
             const MakeFamily& make_family, const Add& add) {
  auto counted = all.find(name);
  if (counted == all.end()) counted = all.insert({name, {&make_family(), {}}}).first;
  auto metric = counted->second.metrics.find(labels);
  if (metric == counted->second.metrics.end()) {
    metric = counted->second.metrics.insert({labels, &add(*counted->second.family)}).first;
  }
  return *metric->second;
}

}  // namespace

struct Gauges::Impl {
  std::map<std::string, prometheus::MetricFamily> families;

  void Add(const Family& family, prometheus::MetricType type, const Labels& labels, double value) {
    prometheus::MetricFamily& to = families[family.name];
    to.name = family.name;
    to.help = family.help;
    to.type = type;
    prometheus::ClientMetric metric;
    for (const auto& [name, text] : labels) metric.label.push_back({name, text});
    metric.gauge.value = value;
    metric.counter.value = value;
    to.metric.push_back(std::move(metric));
  }
};

void Gauges::Set(const Family& family, const Labels& labels, double value) {
  impl_.Add(family, prometheus::MetricType::Gauge, labels, value);
}

void Gauges::SetCounter(const Family& family, const Labels& labels, double value) {
  impl_.Add(family, prometheus::MetricType::Counter, labels, value);
}

struct Registry::Impl {
  prometheus::Registry counted;
  Mutex mu;
  CountedByName<prometheus::Counter> counters ABSL_GUARDED_BY(mu);
  CountedByName<prometheus::Histogram> histograms ABSL_GUARDED_BY(mu);
  // One scrape at a time; held while sources are asked.
  Mutex scrape_mu;
  std::vector<std::function<void(Gauges&)>> sources ABSL_GUARDED_BY(scrape_mu);
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

void Registry::Count(const Family& family, const Labels& labels, double by) {
  const auto make = [&]() -> auto& {
    return prometheus::BuildCounter().Name(family.name).Help(family.help).Register(impl_->counted);
  };
  const auto add = [&](auto& to) -> auto& { return to.Add(labels); };
  MutexLock lock(&impl_->mu);
  Find(impl_->counters, family.name, labels, make, add).Increment(by);
}

void Registry::Observe(const HistogramFamily& family, const Labels& labels, double value) {
  const auto make = [&]() -> auto& {
    return prometheus::BuildHistogram()
        .Name(family.name)
        .Help(family.help)
        .Register(impl_->counted);
  };
  const auto add = [&](auto& to) -> auto& {
    return to.Add(labels, prometheus::Histogram::BucketBoundaries(family.buckets.begin(),
                                                                  family.buckets.end()));
  };
  MutexLock lock(&impl_->mu);
  Find(impl_->histograms, family.name, labels, make, add).Observe(value);
}

void Registry::Observe(const HistogramFamily& family, const Labels& labels, absl::Duration value) {
  Observe(family, labels, absl::ToDoubleSeconds(value));
}

void Registry::AddSource(std::function<void(Gauges&)> source) {
  MutexLock lock(&impl_->scrape_mu);
  impl_->sources.push_back(std::move(source));
}

void Registry::Close() {
  MutexLock lock(&impl_->scrape_mu);
  impl_->sources.clear();
}

std::string Registry::Text() {
  Gauges::Impl looked_up;
  {
    MutexLock lock(&impl_->scrape_mu);
    Gauges gauges(looked_up);
    for (const auto& source : impl_->sources) source(gauges);
  }
  std::vector<prometheus::MetricFamily> all = impl_->counted.Collect();
  for (auto& [name, family] : looked_up.families) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace vmkeep::metrics
