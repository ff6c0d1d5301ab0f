#include "common/metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Family kThings = {"vmkeep_things_total", "Things, by kind."};
constexpr Family kRoom = {"vmkeep_room_bytes", "Room."};
constexpr double kBounds[] = {0.5, 2};
constexpr HistogramFamily kWaits = {"vmkeep_wait_seconds", "Waits.", kBounds};

TEST(RegistryTest, CountsAreAddedUpByLabels) {
  Registry registry;
  registry.Count(kThings, {{"kind", "a"}});
  registry.Count(kThings, {{"kind", "a"}}, 41);
  registry.Count(kThings, {{"kind", "b"}}, 7);
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("# HELP vmkeep_things_total Things, by kind.\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE vmkeep_things_total counter\n"));
  EXPECT_THAT(text, HasSubstr("vmkeep_things_total{kind=\"a\"} 42\n"));
  EXPECT_THAT(text, HasSubstr("vmkeep_things_total{kind=\"b\"} 7\n"));
}

TEST(RegistryTest, AHistogramHasItsBucketsInTheUnitOfItsName) {
  Registry registry;
  registry.Observe(kWaits, {}, absl::Milliseconds(250));
  registry.Observe(kWaits, {}, absl::Seconds(1));
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("vmkeep_wait_seconds_bucket{le=\"0.5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vmkeep_wait_seconds_bucket{le=\"2\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("vmkeep_wait_seconds_sum 1.25\n"));
}

TEST(RegistryTest, ASourceIsAskedAtEachScrapeUntilItIsClosed) {
  Registry registry;
  double room = 1;
  registry.AddSource([&room](Gauges& gauges) { gauges.Set(kRoom, {{"on", "x\"y"}}, room); });
  EXPECT_THAT(registry.Text(), HasSubstr("vmkeep_room_bytes{on=\"x\\\"y\"} 1\n"));
  room = 2;
  EXPECT_THAT(registry.Text(), HasSubstr("vmkeep_room_bytes{on=\"x\\\"y\"} 2\n"));
  registry.Close();
  EXPECT_THAT(registry.Text(), Not(HasSubstr("vmkeep_room_bytes")));
}

}  // namespace
}  // namespace vmkeep::metrics
