#include "executor/hypervisor/libvirt/bounded.h"

#include "common/clock.h"
#include "common/mutex.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

namespace vmkeep::executor::libvirt {
namespace {

// Each hanging call keeps a thread: libvirt gives no way to end it. This many mean that no call
// will end.
constexpr int kMaxThreads = 128;
std::atomic<int> threads =
    0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): the process's

struct Done {
  Mutex mu;
  CondVar changed;
  bool done ABSL_GUARDED_BY(mu) = false;
};

}  // namespace

bool RunBounded(std::function<void()> work, absl::Duration timeout) {
  if (++threads > kMaxThreads) {
    --threads;
    return false;
  }
  auto state = std::make_shared<Done>();
  std::thread([state, work = std::move(work)]() mutable {
    work();
    work = nullptr;  // what it holds goes here, not on the caller's thread
    --threads;
    MutexLock lock(&state->mu);
    state->done = true;
    state->changed.NotifyAll();
  }).detach();

  Clock& clock = RealClock();
  const absl::Duration deadline = clock.Monotonic() + timeout;
  MutexLock lock(&state->mu);
  while (!state->done && clock.Monotonic() < deadline) {
    state->changed.WaitFor(&state->mu, deadline - clock.Monotonic());
  }
  return state->done;
}

}  // namespace vmkeep::executor::libvirt
