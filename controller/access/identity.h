#ifndef VMKEEP_CONTROLLER_ACCESS_IDENTITY_H_
#define VMKEEP_CONTROLLER_ACCESS_IDENTITY_H_

#include "absl/status/statusor.h"

#include <set>
#include <string>

namespace vmkeep::controller {

// Until tenants exist there is one project; it is in every unique key from the first day.
inline constexpr char kLocalProject[] = "local";

// What a caller may do. A higher role may do all that a lower one may.
enum class Role {
  kUser = 1,      // backups: read, create, scrub
  kOperator = 2,  // also hosts and repositories
};

// Who calls: goes from service to store.
struct Caller {
  std::string principal;
  std::string project;
  Role role = Role::kUser;
};

// What the transport knows of the other side.
struct Peer {
  std::string address;  // as gRPC says it: "unix:...", "ipv4:127.0.0.1:4711", "ipv6:[::1]:4711"
  bool authenticated = false;  // showed a certificate that our CA signed
  std::string common_name;     // of that certificate
};

struct AccessPolicy {
  std::set<std::string> operators;  // common names that may act as kOperator
};

// A certificate's common name is the principal. Without one, a unix socket or loopback is the
// principal "local", an operator: who can reach it administers this machine. UNAUTHENTICATED for
// anybody else.
absl::StatusOr<Caller> Identify(const Peer& peer, const AccessPolicy& policy);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_ACCESS_IDENTITY_H_
