#include "executor/service/work_pool.h"

#include <optional>
#include <utility>

namespace vmkeep::executor {

WorkPool::WorkPool(int threads, int max_waiting) : max_waiting_(max_waiting) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<std::function<void()>> work = queue_.Pop()) {
        --waiting_;
        (*work)();
      }
    });
  }
}

WorkPool::~WorkPool() { queue_.Close(); }

bool WorkPool::Post(std::function<void()> work) {
  if (++waiting_ > max_waiting_ || !queue_.Push(std::move(work))) {
    --waiting_;
    return false;
  }
  return true;
}

}  // namespace vmkeep::executor
