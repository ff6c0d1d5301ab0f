#include "executor/task/progress_meter.h"

#include <utility>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kBetween = absl::Milliseconds(500);
constexpr absl::Duration kWindow = absl::Seconds(5);

}  // namespace

ProgressMeter::ProgressMeter(Clock& clock, Emit emit) : clock_(clock), emit_(std::move(emit)) {}

void ProgressMeter::Enter(::vmkeep::v1::Progress::Phase phase, const std::vector<int64_t>& totals,
                          int disk) {
  current_ = static_cast<size_t>(disk);
  if (phase == phase_) return;
  phase_ = phase;
  all_at_once_ = false;
  disks_.assign(totals.size(), {});
  for (size_t i = 0; i < totals.size(); ++i) disks_[i].total = totals[i];
  samples_ = {{clock_.Monotonic(), 0}};
  Tell();
}

void ProgressMeter::EnterAll(::vmkeep::v1::Progress::Phase phase, int64_t total) {
  if (phase == phase_) return;
  phase_ = phase;
  all_at_once_ = true;
  current_ = 0;
  disks_ = {{.done = 0, .total = total, .holes = 0}};
  samples_ = {{clock_.Monotonic(), 0}};
  Tell();
}

void ProgressMeter::Update(int64_t done, int64_t total, int64_t holes) {
  if (current_ >= disks_.size()) return;
  disks_[current_] = {done, total, holes};
  if (clock_.Monotonic() - told_ >= kBetween) Tell();
}

void ProgressMeter::Found(int64_t done, int64_t total, int64_t holes) {
  if (current_ >= disks_.size()) return;
  disks_[current_] = {done, total, holes};
  samples_ = {{clock_.Monotonic(), Sum().done}};
  Tell();
}

ProgressMeter::Disk ProgressMeter::Sum() const {
  Disk sum;
  for (const Disk& disk : disks_) {
    sum.done += disk.done;
    sum.total += disk.total;
    sum.holes += disk.holes;
  }
  return sum;
}

::vmkeep::v1::Progress ProgressMeter::Now() {
  const Disk sum = Sum();
  ::vmkeep::v1::Progress progress;
  progress.set_phase(phase_);
  if (!all_at_once_) {
    progress.set_disk(disks_.empty() ? 0 : static_cast<int>(current_) + 1);
    progress.set_disk_count(static_cast<int>(disks_.size()));
  }
  progress.set_bytes_done(sum.done);
  progress.set_bytes_total(sum.total);
  progress.set_bytes_holes(sum.holes);
  const int64_t rate = Rate(sum.done);
  progress.set_bytes_per_second(rate);
  if (rate > 0 && sum.total >= sum.done) {
    progress.mutable_eta()->set_seconds((sum.total - sum.done) / rate);
  }
  const int64_t nanos = absl::ToUnixNanos(clock_.Now());
  progress.mutable_as_of()->set_seconds(nanos / 1'000'000'000);
  progress.mutable_as_of()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return progress;
}

int64_t ProgressMeter::Rate(int64_t done) {
  const absl::Duration now = clock_.Monotonic();
  samples_.push_back({now, done});
  while (samples_.size() > 2 && samples_.front().at < now - kWindow) samples_.pop_front();
  const double seconds = absl::ToDoubleSeconds(now - samples_.front().at);
  const int64_t moved = done - samples_.front().done;
  return seconds > 0 && moved > 0 ? static_cast<int64_t>(static_cast<double>(moved) / seconds) : 0;
}

void ProgressMeter::Tell() {
  told_ = clock_.Monotonic();
  emit_(Now());
}

}  // namespace vmkeep::executor
