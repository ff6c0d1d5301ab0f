#ifndef VMKEEP_EXECUTOR_FLAT_VIEW_FLAT_VIEW_H_
#define VMKEEP_EXECUTOR_FLAT_VIEW_FLAT_VIEW_H_

#include "common/clock.h"
#include "common/process/process.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {

// A read-only NBD server for one disk that lies in several files, running as long as the object
// lives. Its locks on the files keep a merge into them from starting: so it is gone, with proof,
// when Close() or the destructor returns. It reads files of the host only, never a repository, so
// it can always be killed. Not thread-safe.
class FlatView {
 public:
  // Where it listens: a folder for nobody else, made when absent with mode 0700.
  // `deadline`: until it answers. Errors are those of errors.h; PROGRAM_NOT_STARTED without
  // qemu-nbd.
  static absl::StatusOr<std::unique_ptr<FlatView>> Open(const Disk& disk, const std::string& folder,
                                                        Clock& clock, absl::Duration deadline,
                                                        const std::stop_token& stop);
  ~FlatView();
  FlatView(const FlatView&) = delete;
  FlatView& operator=(const FlatView&) = delete;

  const std::string& socket() const { return socket_; }
  const std::string& export_name() const { return export_name_; }
  // Everything it reads.
  const std::vector<std::string>& files() const { return files_; }
  const process::ProcessId& id() const { return child_->id(); }

  // OK while it runs. UNAVAILABLE, FLAT_VIEW_ENDED, with its last words, when it ended by itself.
  absl::Status Check();
  // Kills it and waits for its end, for a few seconds at most: false, and logged, when it hangs in
  // the kernel on a disk of the host.
  bool Close();

 private:
  FlatView(const Disk& disk, std::string socket);
  absl::Status Start(const Disk& disk);
  absl::Status AwaitAnswer(Clock& clock, absl::Duration deadline, const std::stop_token& stop);

  const std::string source_;
  const std::string export_name_;
  const std::string socket_;
  const std::vector<std::string> files_;
  std::unique_ptr<process::ChildProcess> child_;
  bool closed_ = false;
};

// Looks whether a disk can be served at all, without touching its files: what it is made of, that
// qemu-nbd is installed, that its socket can be made. For before a snapshot.
absl::Status CheckCanServe(const Disk& disk, const std::string& folder);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_FLAT_VIEW_FLAT_VIEW_H_
