#include "common/clock.h"

#include "absl/time/clock.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace vmkeep {
namespace {

class SystemClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }

  absl::Duration Monotonic() override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  bool WaitUntil(absl::Duration deadline, const std::stop_token& stop) override {
    const std::chrono::steady_clock::time_point until(absl::ToChronoNanoseconds(deadline));
    std::mutex mu;
    std::condition_variable_any cv;
    std::unique_lock lock(mu);
    cv.wait_until(lock, stop, until, [] { return false; });
    return !stop.stop_requested();
  }
};

}  // namespace

Clock& RealClock() {
  static SystemClock clock;
  return clock;
}

}  // namespace vmkeep
