#ifndef VMKEEP_TESTS_SIMULATION_NETWORK_H_
#define VMKEEP_TESTS_SIMULATION_NETWORK_H_

#include "controller/dispatch/executor_client.h"
#include "tests/simulation/executor_model.h"
#include "tests/simulation/trace.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::sim {

// One StreamEvents call.
struct EventStreamModel {
  int64_t after = 0;
  std::function<void(std::vector<controller::ExecutorEvent>)> batch;
  std::function<void(absl::Status)> ended;
  bool broken = false;
  absl::Duration last_arrival = absl::ZeroDuration();  // a stream keeps its order
};

// The way between the controller and one host's executor. Messages take time, and a cut loses those
// that are on the way; a call that is not answered fails at its deadline. A request may come late,
// after its caller gave up, and twice.
class Wire {
 public:
  Wire(Base& base, std::string host, JournalModel& journal,
       std::function<ExecutorModel*()> executor)
      : base_(base), host_(std::move(host)), journal_(journal), executor_(std::move(executor)) {}

  std::string executor_id;
  absl::Duration longest_delay = absl::Milliseconds(20);
  double duplicates = 0;  // the share of calls that come twice

  // Cut: nothing passes; streams break, and perhaps nobody is told. Silent: the executor is
  // connected and does not answer.
  void SetCut(bool cut);
  void SetSilent(bool silent) { silent_ = silent; }
  bool cut() const { return cut_; }

  // Of the executor: something is there for the streams; or it ended.
  void Told();
  void ExecutorDied();

  // What ExecutorClientFactory gives.
  std::shared_ptr<controller::ExecutorClient> Dial();

 private:
  friend class WireClient;
  absl::Duration Delay() { return base_.random.Between(absl::Microseconds(100), longest_delay); }
  void Pump(const std::shared_ptr<EventStreamModel>& stream);
  void KeepAlive(const std::shared_ptr<EventStreamModel>& stream);
  void Send(const std::shared_ptr<EventStreamModel>& stream,
            std::vector<controller::ExecutorEvent> events);
  void Break(const std::shared_ptr<EventStreamModel>& stream, bool tell);

  Base& base_;
  const std::string host_;
  JournalModel& journal_;
  const std::function<ExecutorModel*()> executor_;
  bool cut_ = false;
  bool silent_ = false;
  std::vector<std::shared_ptr<EventStreamModel>> streams_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_NETWORK_H_
