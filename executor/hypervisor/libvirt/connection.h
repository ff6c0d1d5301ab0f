#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_CONNECTION_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_CONNECTION_H_

#include "executor/hypervisor/libvirt/session.h"

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <libvirt/libvirt.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace vmkeep::executor::libvirt {

// What a call may use while it runs.
class Access {
 public:
  Access(virConnect* connection, const std::atomic<bool>& given_up)
      : connection_(connection), given_up_(given_up) {}
  virConnect* get() const { return connection_; }
  // The caller has gone on without the answer: change nothing any more.
  bool given_up() const { return given_up_; }

 private:
  virConnect* const connection_;
  const std::atomic<bool>& given_up_;
};

// libvirt's calls with a deadline, over a connection that is opened again whenever it dies.
//
// A libvirt call has no deadline of its own, and closing a connection does not end the calls that
// wait on it: they hold it too. So each call runs on a thread of its own. Past its deadline the
// caller goes on with an error, later calls get a new connection (libvirtd serves five calls of one
// client at a time), and the thread with the old one ends when libvirt answers at last, or with the
// process. keepalive finds a libvirtd that is dead or stopped, and ends its calls.
//
// Thread-safe. The destructor waits for no call.
class Connection {
 public:
  struct Options {
    std::string uri;
    absl::Duration call_timeout;
    std::function<void()> on_connected = {};  // after each one that was opened; must not block
  };
  // Opens the first connection, or says why that failed.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(Options options,
                                                          BlockJobListener listener);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs `work` within the call timeout, plus `extra` for what the call is known to wait for.
  // `work` may outlive the caller: it captures by value, makes one change at the most, and asks
  // given_up() before it. HYPERVISOR_UNAVAILABLE without a connection, or past the deadline.
  using Work = std::function<absl::Status(const Access&)>;
  absl::Status Run(absl::string_view doing, absl::Duration extra, Work work);

  // The same for work with a result.
  template <typename T>
  absl::StatusOr<T> Call(absl::string_view doing,
                         std::function<absl::StatusOr<T>(const Access&)> work,
                         absl::Duration extra = absl::ZeroDuration()) {
    auto result = std::make_shared<absl::StatusOr<T>>(absl::UnknownError("did not run"));
    absl::Status ran = Run(doing, extra, [result, work = std::move(work)](const Access& access) {
      *result = work(access);
      return result->status();
    });
    if (!ran.ok()) return ran;  // *result may still be written to
    return *std::move(result);
  }

  // Called on a thread of ours after domains changed, and after each reconnect. It must not block
  // for long.
  void OnChange(std::function<void()> changed);

 private:
  Connection(Options options, std::shared_ptr<Bulletin> bulletin);

  // What the keeper has to do next.
  struct Duty {
    bool stop = false;
    bool reconnect = false;
    std::shared_ptr<Session> old;  // to be closed before
    std::function<void()> tell;    // null: nothing to tell
  };
  void Keep();
  Duty AwaitDuty(absl::Duration next_try);
  void TakeNewSession(absl::StatusOr<std::shared_ptr<Session>> opened);
  bool NeedsSession() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(bulletin_->mu);
  absl::StatusOr<std::shared_ptr<Session>> Current();

  const Options options_;
  const std::shared_ptr<Bulletin> bulletin_;
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(bulletin_->mu);
  absl::Status last_failure_ ABSL_GUARDED_BY(bulletin_->mu);
  int64_t failures_ ABSL_GUARDED_BY(bulletin_->mu) = 0;
  int waiting_ ABSL_GUARDED_BY(bulletin_->mu) = 0;
  bool stopping_ ABSL_GUARDED_BY(bulletin_->mu) = false;
  std::function<void()> on_change_ ABSL_GUARDED_BY(bulletin_->mu);
  std::thread keeper_;
};

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_CONNECTION_H_
