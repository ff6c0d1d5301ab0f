#include "executor/hypervisor/libvirt/connection.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/bounded.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::executor::libvirt {
namespace {

// A cold libvirtd probes each QEMU before it answers.
constexpr absl::Duration kOpenTimeout = absl::Seconds(30);
constexpr absl::Duration kCloseTimeout = absl::Seconds(2);
constexpr absl::Duration kFirstRetry = absl::Milliseconds(200);
constexpr absl::Duration kLastRetry = absl::Seconds(5);

absl::StatusOr<std::shared_ptr<Session>> OpenSession(const std::string& uri,
                                                     std::shared_ptr<Bulletin> bulletin) {
  auto opened = std::make_shared<absl::StatusOr<std::shared_ptr<Session>>>(
      error::HypervisorUnavailable("it was not asked"));
  const bool done = RunBounded(
      [opened, uri, bulletin = std::move(bulletin)] { *opened = Session::Open(uri, bulletin); },
      kOpenTimeout);
  if (!done) {
    return error::HypervisorUnavailable(
        absl::StrCat("opening ", uri, " took more than ", absl::FormatDuration(kOpenTimeout)));
  }
  return *std::move(opened);
}

void CloseSession(std::shared_ptr<Session> session) {
  if (session == nullptr) return;
  RunBounded([session = std::move(session)]() mutable { session.reset(); }, kCloseTimeout);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(Options options,
                                                             BlockJobListener listener) {
  auto bulletin = std::make_shared<Bulletin>(std::move(listener));
  VMKEEP_ASSIGN_OR_RETURN(std::shared_ptr<Session> first, OpenSession(options.uri, bulletin));
  std::unique_ptr<Connection> connection(new Connection(std::move(options), std::move(bulletin)));
  connection->TakeNewSession(std::move(first));
  connection->keeper_ = std::thread([raw = connection.get()] { raw->Keep(); });
  return connection;
}

Connection::Connection(Options options, std::shared_ptr<Bulletin> bulletin)
    : options_(std::move(options)), bulletin_(std::move(bulletin)) {}

Connection::~Connection() {
  {
    MutexLock lock(&bulletin_->mu);
    stopping_ = true;
    bulletin_->news.NotifyAll();
  }
  if (keeper_.joinable()) keeper_.join();
  std::shared_ptr<Session> last;
  {
    MutexLock lock(&bulletin_->mu);
    last = std::move(session_);
  }
  CloseSession(std::move(last));
}

void Connection::OnChange(std::function<void()> changed) {
  MutexLock lock(&bulletin_->mu);
  on_change_ = std::move(changed);
}

bool Connection::NeedsSession() const { return session_ == nullptr || *session_->dead(); }

// The keeper: tells of changes, and opens a new connection when the old one is dead.
void Connection::Keep() {
  Clock& clock = RealClock();
  Backoff backoff(kFirstRetry, kLastRetry, /*seed=*/1);
  absl::Duration next_try = clock.Monotonic();
  while (true) {
    Duty duty = AwaitDuty(next_try);
    if (duty.stop) return;
    if (duty.tell) duty.tell();
    if (!duty.reconnect) continue;
    CloseSession(std::move(duty.old));
    absl::StatusOr<std::shared_ptr<Session>> opened = OpenSession(options_.uri, bulletin_);
    if (opened.ok()) backoff.Reset();
    TakeNewSession(std::move(opened));
    next_try = clock.Monotonic() + backoff.Next();
  }
}

// Waits until there is something to do. A caller that waits for a connection does not wait for
// `next_try`.
Connection::Duty Connection::AwaitDuty(absl::Duration next_try) {
  Clock& clock = RealClock();
  MutexLock lock(&bulletin_->mu);
  Duty duty;
  while (!stopping_ && !bulletin_->domains_changed) {
    if (!NeedsSession()) {
      bulletin_->news.Wait(&bulletin_->mu);
      continue;
    }
    if (waiting_ > 0 || clock.Monotonic() >= next_try) {
      duty.reconnect = true;
      duty.old = std::move(session_);
      break;
    }
    bulletin_->news.WaitFor(&bulletin_->mu, next_try - clock.Monotonic());
  }
  duty.stop = stopping_;
  if (std::exchange(bulletin_->domains_changed, false)) duty.tell = on_change_;
  return duty;
}

void Connection::TakeNewSession(absl::StatusOr<std::shared_ptr<Session>> opened) {
  if (opened.ok()) {
    log::Info("libvirt_connected", {{"uri", options_.uri}});
    if (options_.on_connected) options_.on_connected();
  }
  MutexLock lock(&bulletin_->mu);
  if (opened.ok()) {
    session_ = *std::move(opened);
    bulletin_->domains_changed = true;  // what happened meanwhile, nobody told us
  } else {
    last_failure_ = opened.status();
    ++failures_;
  }
  bulletin_->news.NotifyAll();
}

// A live connection, or the outcome of an attempt that began after the question.
absl::StatusOr<std::shared_ptr<Session>> Connection::Current() {
  Clock& clock = RealClock();
  const absl::Duration deadline = clock.Monotonic() + options_.call_timeout;
  MutexLock lock(&bulletin_->mu);
  // One attempt may be under way already, and its failure be older than the question.
  const int64_t failures_before = failures_;
  ++waiting_;
  bulletin_->news.NotifyAll();
  while (NeedsSession() && failures_ < failures_before + 2 && clock.Monotonic() < deadline) {
    bulletin_->news.WaitFor(&bulletin_->mu, deadline - clock.Monotonic());
  }
  --waiting_;
  if (!NeedsSession()) return session_;
  if (last_failure_.ok()) return error::HypervisorUnavailable("no connection in time");
  return error::HypervisorUnavailable(last_failure_.message());
}

absl::Status Connection::Run(absl::string_view doing, absl::Duration extra, Work work) {
  VMKEEP_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, Current());
  const std::shared_ptr<std::atomic<bool>> dead = session->dead();
  auto given_up = std::make_shared<std::atomic<bool>>(false);
  auto outcome = std::make_shared<absl::Status>();
  const absl::Duration timeout = options_.call_timeout + extra;
  // The session goes along and stays: its last holder closes it, which may block.
  const bool done = RunBounded(
      [session = std::move(session), dead, given_up, outcome, work = std::move(work)] {
        *outcome = work(Access(session->connection(), *given_up));
        if (!outcome->ok() && virConnectIsAlive(session->connection()) != 1) *dead = true;
      },
      timeout);
  if (done) return *outcome;
  *given_up = true;
  *dead = true;
  MutexLock lock(&bulletin_->mu);
  bulletin_->news.NotifyAll();
  return error::HypervisorUnavailable(
      absl::StrCat(doing, ": no answer within ", absl::FormatDuration(timeout)));
}

}  // namespace vmkeep::executor::libvirt
