#include "executor/hypervisor/libvirt/session.h"

#include "common/log.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"

#include <libvirt/virterror.h>

#include <array>
#include <mutex>
#include <thread>

namespace vmkeep::executor::libvirt {
namespace {

// A libvirtd that says nothing for 20 s is gone: its calls end with an error then.
constexpr int kKeepAliveSeconds = 5;
constexpr unsigned int kKeepAliveCount = 3;

// One per process, as long as the process: libvirt's event loop cannot be taken back.
void StartEventLoop() {
  static std::once_flag once;
  std::call_once(once, [] {
    // libvirt writes errors to stderr, with parts of XMLs: ours are logged where they are handled.
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    virEventRegisterDefaultImpl();
    std::thread([] {
      while (true) {
        if (virEventRunDefaultImpl() < 0) log::Error("libvirt_event_loop_failed");
      }
    }).detach();
  });
}

// libvirt calls it back by the type that belongs to the event.
template <typename Callback>
virConnectDomainEventGenericCallback Generic(Callback* callback) {
  return reinterpret_cast<virConnectDomainEventGenericCallback>(
      reinterpret_cast<void (*)()>(callback));
}

struct Subscription {
  std::shared_ptr<Bulletin> bulletin;
  std::shared_ptr<std::atomic<bool>> dead;
};

void FreeSubscription(void* opaque) { delete static_cast<Subscription*>(opaque); }

void OnClose(virConnectPtr, int, void* opaque) {
  const auto* to = static_cast<Subscription*>(opaque);
  *to->dead = true;
  MutexLock lock(&to->bulletin->mu);
  to->bulletin->news.NotifyAll();
}

int OnLifecycle(virConnectPtr, virDomainPtr, int, int, void* opaque) {
  const auto* to = static_cast<Subscription*>(opaque);
  MutexLock lock(&to->bulletin->mu);
  to->bulletin->domains_changed = true;
  to->bulletin->news.NotifyAll();
  return 0;
}

void OnBlockJob(virConnectPtr, virDomainPtr domain, const char* target, int type, int status,
                void* opaque) {
  if (type != VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT && type != VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT) {
    return;
  }
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid = {};
  if (virDomainGetUUIDString(domain, uuid.data()) != 0) return;
  const auto* to = static_cast<Subscription*>(opaque);
  to->bulletin->block_job(uuid.data(), target, status);
}

}  // namespace

absl::StatusOr<std::shared_ptr<Session>> Session::Open(const std::string& uri,
                                                       std::shared_ptr<Bulletin> bulletin) {
  StartEventLoop();
  ConnectionHandle connection(virConnectOpen(uri.c_str()));
  if (connection == nullptr) return LibvirtError("open the connection");
  std::shared_ptr<Session> session(new Session(std::move(connection)));
  if (!session->Listen(bulletin)) return LibvirtError("listen to events");
  return session;
}

bool Session::Listen(const std::shared_ptr<Bulletin>& bulletin) {
  virConnectPtr connection = connection_.get();
  if (virConnectSetKeepAlive(connection, kKeepAliveSeconds, kKeepAliveCount) < 0) return false;
  // libvirt frees the subscription only when it took it.
  auto* close = new Subscription{bulletin, dead_};
  if (virConnectRegisterCloseCallback(connection, OnClose, close, FreeSubscription) != 0) {
    delete close;
    return false;
  }
  close_watched_ = true;
  const std::array<std::pair<int, virConnectDomainEventGenericCallback>, 2> wanted = {{
      {VIR_DOMAIN_EVENT_ID_LIFECYCLE, Generic(OnLifecycle)},
      {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, Generic(OnBlockJob)},
  }};
  for (const auto& [event, callback] : wanted) {
    auto* to = new Subscription{bulletin, dead_};
    const int id = virConnectDomainEventRegisterAny(connection, nullptr, event, callback, to,
                                                    FreeSubscription);
    if (id < 0) {
      delete to;
      return false;
    }
    events_.push_back(id);
  }
  return true;
}

Session::~Session() {
  // Each registration holds the connection.
  for (const int id : events_) virConnectDomainEventDeregisterAny(connection_.get(), id);
  if (close_watched_) virConnectUnregisterCloseCallback(connection_.get(), OnClose);
}

}  // namespace vmkeep::executor::libvirt
