#ifndef VMKEEP_EXECUTOR_TASK_PROGRESS_METER_H_
#define VMKEEP_EXECUTOR_TASK_PROGRESS_METER_H_

#include "common/clock.h"
#include "vmkeep/v1/backup.pb.h"

#include "absl/time/time.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

namespace vmkeep::executor {

// Adds the disks of a task up, measures the rate, and tells: at once when a phase begins, else at
// most twice a second. Not thread-safe.
class ProgressMeter {
 public:
  using Emit = std::function<void(const ::vmkeep::v1::Progress&)>;

  ProgressMeter(Clock& clock, Emit emit);

  // Work on `disk` (from 0) in `phase`; `totals` are the sizes as far as known. Counting starts
  // again when the phase is a new one.
  void Enter(::vmkeep::v1::Progress::Phase phase, const std::vector<int64_t>& totals, int disk);
  // The same for work on all disks at once: no disk is told.
  void EnterAll(::vmkeep::v1::Progress::Phase phase, int64_t total);
  // So much of the disk that was entered last was done before: it counts, but nothing moved for it.
  void Found(int64_t done, int64_t total, int64_t holes);
  // How far the disk is that was entered last.
  void Update(int64_t done, int64_t total, int64_t holes);

 private:
  struct Disk {
    int64_t done = 0;
    int64_t total = 0;
    int64_t holes = 0;
  };
  struct Sample {
    absl::Duration at;
    int64_t done = 0;
  };

  Disk Sum() const;
  ::vmkeep::v1::Progress Now();
  // Bytes per second over the window, 0 when unknown.
  int64_t Rate(int64_t done);
  void Tell();

  Clock& clock_;
  const Emit emit_;
  ::vmkeep::v1::Progress::Phase phase_ = ::vmkeep::v1::Progress::PHASE_UNSPECIFIED;
  std::vector<Disk> disks_;
  size_t current_ = 0;
  bool all_at_once_ = false;
  std::deque<Sample> samples_;
  absl::Duration told_ = -absl::InfiniteDuration();
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_PROGRESS_METER_H_
