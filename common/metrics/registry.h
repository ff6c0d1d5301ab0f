#ifndef VMKEEP_COMMON_METRICS_REGISTRY_H_
#define VMKEEP_COMMON_METRICS_REGISTRY_H_

#include "absl/time/time.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

// What a daemon counts, as Prometheus reads it. Made in the composition root and given to who
// counts; prometheus-cpp stays behind it.
namespace vmkeep::metrics {

using Labels = std::map<std::string, std::string>;

// A metric: its name with the unit in it, and one sentence for the person who meets it.
struct Family {
  const char* name;
  const char* help;
};
// A histogram; `buckets` are upper bounds, growing, in the unit of the name.
struct HistogramFamily {
  const char* name;
  const char* help;
  std::vector<double> buckets;
};

// From calls of a millisecond to waits of ten seconds.
std::vector<double> ShortSeconds();
// From a tenth of a second to a day: copies and merges.
std::vector<double> LongSeconds();

class Registry;

// What a source says at one scrape: values that are looked up rather than counted.
class Gauges {
 public:
  void Set(const Family& family, const Labels& labels, double value);
  // The same for a value that was counted elsewhere and never falls.
  void SetCounter(const Family& family, const Labels& labels, double value);

 private:
  friend class Registry;
  struct Impl;
  explicit Gauges(Impl& impl) : impl_(impl) {}
  Impl& impl_;
};

// Thread-safe. Counting is a lock and a look-up: cheap enough for each call and commit.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  void Count(const Family& family, const Labels& labels, double by = 1);
  void Observe(const HistogramFamily& family, const Labels& labels, double value);
  void Observe(const HistogramFamily& family, const Labels& labels, absl::Duration value);

  // Asked at each scrape, from the scraping thread, until Close(); must not wait for long.
  void AddSource(std::function<void(Gauges&)> source);
  // Asks no source from now on; waits for one that is being asked. What sources look at may go
  // then.
  void Close();

  // All of it, in Prometheus' text format.
  std::string Text();

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vmkeep::metrics

#endif  // VMKEEP_COMMON_METRICS_REGISTRY_H_
