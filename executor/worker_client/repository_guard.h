#ifndef VMKEEP_EXECUTOR_WORKER_CLIENT_REPOSITORY_GUARD_H_
#define VMKEEP_EXECUTOR_WORKER_CLIENT_REPOSITORY_GUARD_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "common/process/process.h"
#include "executor/worker_client/worker_client.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {

struct RepositoryLimits {
  // Once a worker hangs that cannot be killed, no job begins that would make more than so many of
  // this repository, those that run included. 4: what the jobs of two backups and a probe need, so
  // that one hang of a file system that works otherwise stops nothing.
  int max_hanging = 4;
  // So many jobs in a row that fail by the repository's fault make it ill. 3: one is an accident.
  // A job that hangs makes it ill at once: each costs its VM a stall timeout on the overlay.
  int faults_until_ill = 3;
  // An ill one is left alone for so long after its last fault: a probe moves 4 KiB, and often goes
  // well where a copy did not.
  absl::Duration rest = absl::Minutes(1);
};

// A Worker that keeps, for each repository (by its root), the books of what its jobs found: who
// hangs there, and whether it fails again and again. Thread-safe. Outlived by what it is given.
//
// Refused at once, UNAVAILABLE, REPOSITORY_STUCK: a job beyond max_hanging; a probe while the last
// one hangs; a discard after a job that hung, until a probe went well (what it would remove is
// removed then, from the journal). All other jobs go on, also to an ill repository: its health is
// for those who choose one.
class RepositoryGuard final : public Worker {
 public:
  RepositoryGuard(Worker& worker, const RepositoryLimits& limits, Clock& clock)
      : worker_(worker), limits_(limits), clock_(clock) {}

  // Called in the thread of the job whose fault made the repository at `root` ill. Set once, before
  // use; must not block.
  void OnIll(std::function<void(const std::string& root)> ill) { ill_ = std::move(ill); }

  absl::StatusOr<worker::v1::Result> Run(const worker::v1::Request& request,
                                         absl::Duration deadline, absl::Duration stall,
                                         const std::stop_token& stop, const Hooks& hooks) override
      ABSL_LOCKS_EXCLUDED(mu_);

  // Counts a process that an earlier executor left there and that still hangs.
  void Adopt(const std::string& root, const process::ProcessId& process) ABSL_LOCKS_EXCLUDED(mu_);

  struct Look {
    bool ill = false;     // since its last faults no probe went well after the rest
    int hanging = 0;      // processes that were given up and still run
    std::string message;  // in words; empty when there is nothing to say
  };
  Look LookAt(const std::string& root) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Hanging {
    process::ProcessId process;
    bool probe = false;
  };
  struct Books {
    int running = 0;
    std::vector<Hanging> hanging;
    int faults = 0;     // in a row
    bool hung = false;  // a job since the last good probe
    absl::Duration last_fault = absl::ZeroDuration();
    std::string why;  // the last fault's message
  };

  bool IsIll(const Books& books) const {
    return books.hung || books.faults >= limits_.faults_until_ill;
  }
  static void Forget(Books& books);  // those who ended
  absl::Status Enter(const worker::v1::Request& request, const std::string& root)
      ABSL_LOCKS_EXCLUDED(mu_);
  // True when this job made it ill.
  bool Leave(const worker::v1::Request& request, const std::string& root,
             const process::ProcessId& process, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);
  void NoteGood(const worker::v1::Request& request, Books& books) const;

  Worker& worker_;
  const RepositoryLimits limits_;
  Clock& clock_;
  std::function<void(const std::string& root)> ill_;
  Mutex mu_;
  std::map<std::string, Books> books_ ABSL_GUARDED_BY(mu_);  // by root
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_WORKER_CLIENT_REPOSITORY_GUARD_H_
