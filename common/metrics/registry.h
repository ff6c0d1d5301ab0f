#ifndef VMKEEP_COMMON_METRICS_REGISTRY_H_
#define VMKEEP_COMMON_METRICS_REGISTRY_H_

#include "absl/time/time.h"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

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
  std::span<const double> buckets;
};

// From calls of a millisecond to waits of ten seconds.
inline constexpr double kShortSeconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                           0.25,  0.5,    1,     2.5,  5,     10};
// From a tenth of a second to a day: copies and merges.
inline constexpr double kLongSeconds[] = {0.1, 0.25, 0.5, 1,   2.5,  5,        10,
                                          30,  60,   300, 900, 3600, 4 * 3600, 24 * 3600};

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
