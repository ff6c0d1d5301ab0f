#include "tests/simulation/fiber.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define VMKEEP_SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VMKEEP_SIM_ASAN 1
#endif
#endif
#ifdef VMKEEP_SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace vmkeep::sim {
namespace {

constexpr size_t kStackBytes = size_t{512} * 1024;

// Stacks are used again: a page that was touched stays.
std::vector<std::unique_ptr<char[]>>& FreeStacks() {
  static auto& stacks = *new std::vector<std::unique_ptr<char[]>>();
  return stacks;
}

}  // namespace

struct Fiber::Impl : std::enable_shared_from_this<Fiber::Impl> {
  Impl(Timeline& timeline, std::function<void()> run) : time(timeline), body(std::move(run)) {}

  Timeline& time;
  std::function<void()> body;
  ucontext_t own = {};
  ucontext_t caller = {};
  std::unique_ptr<char[]> stack;
  bool started = false;
  bool done = false;
  bool killed = false;
  const void* caller_bottom = nullptr;  // for AddressSanitizer
  size_t caller_size = 0;

  static Impl*& Current() {
    static Impl* current = nullptr;
    return current;
  }

  void Resume();
  void Yield();
  static void Root();
};

// AddressSanitizer has to know on which stack the program is.
void Fiber::Impl::Resume() {
  if (done) return;
  if (!started) {
    started = true;
    if (FreeStacks().empty()) {
      stack = std::unique_ptr<char[]>(new char[kStackBytes]);
    } else {
      stack = std::move(FreeStacks().back());
      FreeStacks().pop_back();
    }
    getcontext(&own);
    own.uc_stack.ss_sp = stack.get();
    own.uc_stack.ss_size = kStackBytes;
    own.uc_link = nullptr;
    makecontext(&own, &Impl::Root, 0);
  }
  Impl* const outer = std::exchange(Current(), this);
#ifdef VMKEEP_SIM_ASAN
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack.get(), kStackBytes);
#endif
  swapcontext(&caller, &own);
#ifdef VMKEEP_SIM_ASAN
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  Current() = outer;
  if (done) FreeStacks().push_back(std::move(stack));
}

void Fiber::Impl::Yield() {
#ifdef VMKEEP_SIM_ASAN
  void* fake = nullptr;
  // A fiber that is done never comes back: its fake stack goes.
  __sanitizer_start_switch_fiber(done ? nullptr : &fake, caller_bottom, caller_size);
#endif
  swapcontext(&own, &caller);
#ifdef VMKEEP_SIM_ASAN
  __sanitizer_finish_switch_fiber(fake, &caller_bottom, &caller_size);
#endif
}

void Fiber::Impl::Root() {
  Impl* const self = Current();
#ifdef VMKEEP_SIM_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &self->caller_bottom, &self->caller_size);
#endif
  try {
    if (!self->killed) self->body();
  } catch (const Killed&) {
    self->killed = true;  // as if it had never gone on
  }
  self->body = nullptr;
  self->done = true;
  self->Yield();
  std::abort();  // nobody resumes a fiber that is done
}

Fiber::Fiber(Timeline& time, std::function<void()> body)
    : impl_(std::make_shared<Impl>(time, std::move(body))) {
  time.After(absl::ZeroDuration(), [impl = impl_] { impl->Resume(); });
}

Fiber::~Fiber() {
  impl_->killed = true;
  if (impl_->started) {
    impl_->Resume();
  } else {
    impl_->done = true;
  }
}

bool Fiber::done() const { return impl_->done; }
bool Fiber::OnFiber() { return Impl::Current() != nullptr; }

void Fiber::Pause(absl::Duration delay) {
  Impl* const self = Impl::Current();
  if (self == nullptr) std::abort();  // only a fiber can wait
  if (self->killed) throw Killed();
  self->time.After(std::max(delay, absl::ZeroDuration()),
                   [impl = self->shared_from_this()] { impl->Resume(); });
  self->Yield();
  if (self->killed) throw Killed();
}

bool SimClock::WaitUntil(absl::Duration deadline, const std::stop_token& stop) {
  if (stop.stop_requested()) return false;
  Fiber::Pause(deadline - time_.now());
  return !stop.stop_requested();
}

}  // namespace vmkeep::sim
