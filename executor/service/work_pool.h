#ifndef VMKEEP_EXECUTOR_SERVICE_WORK_POOL_H_
#define VMKEEP_EXECUTOR_SERVICE_WORK_POOL_H_

#include "common/queue.h"

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// A few threads for what a gRPC handler must not do itself: wait for a disk or a hypervisor.
// Thread-safe. The destructor runs what is queued.
class WorkPool {
 public:
  WorkPool(int threads, int max_waiting);
  ~WorkPool();

  // False when too much waits already: the work is dropped.
  bool Post(std::function<void()> work);

 private:
  const int max_waiting_;
  std::atomic<int> waiting_ = 0;
  Queue<std::function<void()>> queue_;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_SERVICE_WORK_POOL_H_
