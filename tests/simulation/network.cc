#include "tests/simulation/network.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>

namespace vmkeep::sim {

namespace {

constexpr absl::Duration kCallDeadline = absl::Seconds(10);
constexpr absl::Duration kAliveEvery = absl::Seconds(15);

// A callback that is called once, whoever comes first.
template <typename T>
class Once {
 public:
  explicit Once(std::function<void(absl::StatusOr<T>)> done) : done_(std::move(done)) {}
  void Give(absl::StatusOr<T> answer) {
    if (done_) std::exchange(done_, nullptr)(std::move(answer));
  }

 private:
  std::function<void(absl::StatusOr<T>)> done_;
};

}  // namespace

class WireClient final : public controller::ExecutorClient {
 public:
  explicit WireClient(Wire& wire) : wire_(wire) {}
  ~WireClient() override {
    if (stream_ != nullptr) stream_->broken = true;
    for (const auto& fail : pending_) fail();
  }

  void SayHello(const std::string&, Callback<Hello> done) override {
    Call<Hello>(
        [&wire = wire_](ExecutorModel&) -> absl::StatusOr<Hello> {
          Hello hello;
          hello.host.executor_id = wire.executor_id;
          hello.host.hostname = wire.host_;
          hello.host.hypervisor = "sim";
          hello.host.simulated = true;
          hello.last_sequence = wire.journal_.last_sequence();
          hello.protocol = 1;
          return hello;
        },
        std::move(done));
  }
  void StartTask(const controller::BackupRecord& record, Callback<bool> done) override {
    Call<bool>([record](ExecutorModel& executor) { return executor.StartTask(record); },
               std::move(done), wire_.base_.random.Chance(wire_.duplicates));
  }
  void CancelTask(const controller::TaskRef& task, Callback<bool> done) override {
    Call<bool>([task](ExecutorModel& executor) { return executor.CancelTask(task); },
               std::move(done), wire_.base_.random.Chance(wire_.duplicates));
  }
  void ListTasks(Callback<std::vector<controller::KnownTask>> done) override {
    Call<std::vector<controller::KnownTask>>(
        [](ExecutorModel& executor) -> absl::StatusOr<std::vector<controller::KnownTask>> {
          return executor.ListTasks();
        },
        std::move(done));
  }
  void GetInventory(Callback<controller::HostInventory> done) override {
    Call<controller::HostInventory>([](ExecutorModel& executor) { return executor.GetInventory(); },
                                    std::move(done));
  }
  void InitRepository(int, bool, Callback<controller::RepositoryRecord> done) override {
    done(absl::UnimplementedError("the simulation's repositories have their markers"));
  }
  void AckEvents(int64_t sequence, Callback<bool> done) override {
    Call<bool>([sequence](ExecutorModel& executor) { return executor.AckEvents(sequence); },
               std::move(done), wire_.base_.random.Chance(wire_.duplicates));
  }
  void StreamEvents(int64_t after,
                    std::function<void(std::vector<controller::ExecutorEvent>)> batch,
                    std::function<void(absl::Status)> ended) override {
    stream_ = std::make_shared<EventStreamModel>();
    stream_->after = after;
    stream_->batch = std::move(batch);
    stream_->ended = std::move(ended);
    wire_.base_.time.After(wire_.Delay(), [&wire = wire_, stream = stream_] {
      if (wire.cut_ || wire.executor_() == nullptr) return wire.Break(stream, /*tell=*/true);
      wire.streams_.push_back(stream);
      wire.KeepAlive(stream);
      wire.Pump(stream);
    });
  }

 private:
  template <typename T>
  void Call(const std::function<absl::StatusOr<T>(ExecutorModel&)>& serve, Callback<T> done,
            bool twice = false) {
    const auto answer = std::make_shared<Once<T>>(std::move(done));
    pending_.emplace_back([answer] { answer->Give(absl::CancelledError("the connection ended")); });
    wire_.base_.time.After(kCallDeadline,
                           [answer] { answer->Give(absl::DeadlineExceededError("no answer")); });
    if (wire_.cut_) return;
    for (int copy = 0; copy < (twice ? 2 : 1); ++copy) Deliver<T>(wire_, serve, answer);
  }

  // One request on its way, and its answer on the way back. Goes on when the client is gone.
  template <typename T>
  static void Deliver(Wire& wire, const std::function<absl::StatusOr<T>(ExecutorModel&)>& serve,
                      const std::shared_ptr<Once<T>>& answer) {
    wire.base_.time.After(wire.Delay(), [&wire, serve, answer] {
      if (wire.cut_) return;
      if (wire.silent_) {  // it lies in the executor's socket
        wire.base_.time.After(absl::Seconds(10),
                              [&wire, serve, answer] { Deliver<T>(wire, serve, answer); });
        return;
      }
      ExecutorModel* executor = wire.executor_();
      if (executor == nullptr) return answer->Give(absl::UnavailableError("connection refused"));
      absl::StatusOr<T> result = absl::UnknownError("");
      try {
        result = serve(*executor);
      } catch (const Killed&) {
        return;  // died in the call: only the deadline tells
      }
      wire.base_.time.After(wire.Delay(), [&wire, answer, result = std::move(result)] {
        if (!wire.cut_) answer->Give(result);
      });
    });
  }

  Wire& wire_;
  std::shared_ptr<EventStreamModel> stream_;
  std::vector<std::function<void()>> pending_;
};

std::shared_ptr<controller::ExecutorClient> Wire::Dial() {
  return std::make_shared<WireClient>(*this);
}

void Wire::SetCut(bool cut) {
  cut_ = cut;
  if (!cut) return;
  const auto streams = std::exchange(streams_, {});
  // Half open: the other side may never be told.
  for (const auto& stream : streams) Break(stream, base_.random.Chance(0.5));
}

void Wire::ExecutorDied() {
  const auto streams = std::exchange(streams_, {});
  for (const auto& stream : streams) Break(stream, !cut_);
}

void Wire::Break(const std::shared_ptr<EventStreamModel>& stream, bool tell) {
  if (std::exchange(stream->broken, true) || !tell) return;
  base_.time.After(base_.random.Between(absl::Milliseconds(1), absl::Seconds(10)),
                   [stream] { stream->ended(absl::UnavailableError("connection reset")); });
}

void Wire::Told() {
  std::erase_if(streams_, [](const auto& stream) { return stream->broken; });
  for (const auto& stream : streams_) {
    base_.time.After(Delay(), [this, stream] { Pump(stream); });
  }
}

void Wire::Pump(const std::shared_ptr<EventStreamModel>& stream) {
  if (stream->broken || silent_) return;
  std::vector<controller::ExecutorEvent> events = journal_.EventsAfter(stream->after);
  if (!events.empty()) stream->after = events.back().sequence;
  controller::ExecutorEvent changed;  // at any time, and without harm
  changed.body = controller::InventoryChanged{};
  events.push_back(std::move(changed));
  Send(stream, std::move(events));
}

void Wire::KeepAlive(const std::shared_ptr<EventStreamModel>& stream) {
  if (stream->broken) return;
  if (!silent_) Send(stream, {});
  base_.time.After(kAliveEvery, [this, stream] { KeepAlive(stream); });
}

void Wire::Send(const std::shared_ptr<EventStreamModel>& stream,
                std::vector<controller::ExecutorEvent> events) {
  stream->last_arrival =
      std::max(stream->last_arrival + absl::Microseconds(1), base_.time.now() + Delay());
  base_.time.After(stream->last_arrival - base_.time.now(), [stream, events = std::move(events)] {
    if (!stream->broken) stream->batch(events);
  });
}

}  // namespace vmkeep::sim
