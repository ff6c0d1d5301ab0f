#include "executor/metrics/measured_worker.h"

#include "common/error.h"
#include "tests/fakes/fake_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace vmkeep::executor {
namespace {

using ::testing::HasSubstr;
using worker::v1::Request;
using worker::v1::Result;

// Answers what the test says.
class ScriptedWorker final : public Worker {
 public:
  std::function<absl::StatusOr<Result>(const Hooks&)> run;
  absl::StatusOr<Result> Run(const Request&, absl::Duration, absl::Duration, const std::stop_token&,
                             const Hooks& hooks) override {
    return run(hooks);
  }
};

class MeasuredWorkerTest : public ::testing::Test {
 protected:
  MeasuredWorkerTest() {
    registry_.AddSource([this](metrics::Gauges& gauges) { worker_.Collect(gauges); });
  }
  static Request Copy() {
    Request request;
    request.mutable_copy()->mutable_repository()->set_id("r-1");
    return request;
  }
  void Run(const Request& request) {
    (void)worker_.Run(request, absl::Minutes(1), absl::Minutes(1), {}, {});
  }

  test::FakeClock clock_;
  metrics::Registry registry_;
  ScriptedWorker inner_;
  MeasuredWorker worker_{inner_, registry_, clock_};
};

TEST_F(MeasuredWorkerTest, BytesCountWhileTheyAreCopiedAndNoneTwice) {
  inner_.run = [this](const Worker::Hooks& hooks) {
    worker::v1::Progress progress;
    for (const int64_t done : {100, 50, 300}) {
      progress.set_bytes_done(done);
      hooks.on_progress(progress);
    }
    EXPECT_THAT(registry_.Text(),
                HasSubstr("vmkeep_executor_copied_bytes_total{repository_id=\"r-1\"} 300\n"));
    EXPECT_THAT(registry_.Text(), HasSubstr("vmkeep_executor_workers{job=\"copy\"} 1\n"));
    clock_.Advance(absl::Seconds(4));
    Result result;
    result.mutable_copy()->set_file_bytes(1000);
    return result;
  };
  Run(Copy());
  const std::string text = registry_.Text();
  EXPECT_THAT(text, HasSubstr("vmkeep_executor_copied_bytes_total{repository_id=\"r-1\"} 1000\n"));
  EXPECT_THAT(text, HasSubstr("vmkeep_executor_workers{job=\"copy\"} 0\n"));
  EXPECT_THAT(text,
              HasSubstr("vmkeep_executor_worker_job_seconds_sum{job=\"copy\",result=\"ok\"} 4\n"));
}

TEST_F(MeasuredWorkerTest, AFailedJobIsCountedByItsReason) {
  inner_.run = [](const Worker::Hooks&) -> absl::StatusOr<Result> {
    return MakeError(absl::StatusCode::kUnavailable, "WORKER_DIED", "it is dead");
  };
  Run(Copy());
  EXPECT_THAT(
      registry_.Text(),
      HasSubstr(
          "vmkeep_executor_worker_job_seconds_count{job=\"copy\",result=\"WORKER_DIED\"} 1\n"));
}

}  // namespace
}  // namespace vmkeep::executor
