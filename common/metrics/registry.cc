#include "common/metrics/registry.h"

#include "common/mutex.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

namespace vmkeep::metrics {

std::vector<double> ShortSeconds() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

std::vector<double> LongSeconds() {
  return {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600};
}

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
  std::map<std::string, prometheus::Family<prometheus::Counter>*> counters ABSL_GUARDED_BY(mu);
  std::map<std::string, prometheus::Family<prometheus::Histogram>*> histograms ABSL_GUARDED_BY(mu);
  // One scrape at a time; held while sources are asked.
  Mutex scrape_mu;
  std::vector<std::function<void(Gauges&)>> sources ABSL_GUARDED_BY(scrape_mu);
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

void Registry::Count(const Family& family, const Labels& labels, double by) {
  prometheus::Family<prometheus::Counter>* counter = nullptr;
  {
    MutexLock lock(&impl_->mu);
    auto& known = impl_->counters[family.name];
    if (known == nullptr) {
      known =
          &prometheus::BuildCounter().Name(family.name).Help(family.help).Register(impl_->counted);
    }
    counter = known;
  }
  counter->Add(labels).Increment(by);
}

void Registry::Observe(const HistogramFamily& family, const Labels& labels, double value) {
  prometheus::Family<prometheus::Histogram>* histogram = nullptr;
  {
    MutexLock lock(&impl_->mu);
    auto& known = impl_->histograms[family.name];
    if (known == nullptr) {
      known = &prometheus::BuildHistogram()
                   .Name(family.name)
                   .Help(family.help)
                   .Register(impl_->counted);
    }
    histogram = known;
  }
  histogram->Add(labels, prometheus::Histogram::BucketBoundaries(family.buckets)).Observe(value);
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
