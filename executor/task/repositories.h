#ifndef VMKEEP_EXECUTOR_TASK_REPOSITORIES_H_
#define VMKEEP_EXECUTOR_TASK_REPOSITORIES_H_

#include "common/mutex.h"
#include "executor/task/environment.h"
#include "executor/worker_client/repository_guard.h"
#include "vmkeep/v1/inventory.pb.h"

#include "absl/status/statusor.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// What the repositories of this host look like, as a worker last saw them. A thread per repository
// probes it at the start, every probe_interval, and when asked; so a hung mount blocks neither a
// caller nor the other repository. One whose jobs fail, by the guard's books, is ill at once, until
// the guard says otherwise after a probe. A healthy one also gets rid of what failed tasks could
// not remove. Thread-safe.
class Repositories {
 public:
  // `changed` is called from a probing thread, or that of a job, when a repository is not as it
  // was. Takes the guard's OnIll().
  Repositories(const Environment& env, RepositoryGuard& guard, std::function<void()> changed);

  // Ends the workers of an earlier executor, and tells the guard of those that hang. Before any
  // task runs: a worker of ours would pass for one of those.
  void EndLeftovers();
  void Run();  // starts probing

  // At once, from memory.
  std::vector<::vmkeep::v1::Repository> List() ABSL_LOCKS_EXCLUDED(mu_);
  // Asks for a probe of all, soon.
  void Refresh() ABSL_LOCKS_EXCLUDED(mu_);
  // Writes the marker, or finds the one that is there. Blocks, within the probe's deadline.
  absl::StatusOr<::vmkeep::v1::Repository> Init(int slot, bool allow_plain_directory,
                                                const std::stop_token& stop);

 private:
  // A job found the repository at `root` ill.
  void NoteIll(const std::string& root) ABSL_LOCKS_EXCLUDED(mu_);
  void ProbeLoop(int slot, const std::stop_token& stop);
  void Probe(int slot, const std::stop_token& stop);
  // Keeps what was found; true when it is news.
  bool Keep(const ::vmkeep::v1::Repository& found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ::vmkeep::v1::Repository ToRepository(int slot, const absl::StatusOr<worker::v1::Result>& result);
  void RemoveLeftovers(const ::vmkeep::v1::Repository& repository, const std::stop_token& stop);

  const Environment& env_;
  RepositoryGuard& guard_;
  const std::function<void()> changed_;
  Mutex mu_;
  std::map<int, ::vmkeep::v1::Repository> found_ ABSL_GUARDED_BY(mu_);
  // By slot, the Inits that went well. A probe that began before the last of them may have looked
  // before the marker was there: its word is dropped.
  std::map<int, int64_t> inits_ ABSL_GUARDED_BY(mu_);
  std::map<int, std::stop_source> naps_ ABSL_GUARDED_BY(mu_);  // ended by Refresh()
  std::vector<std::jthread> threads_;                          // last: they use the rest
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_REPOSITORIES_H_
