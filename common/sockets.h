#ifndef VMKEEP_COMMON_SOCKETS_H_
#define VMKEEP_COMMON_SOCKETS_H_

// The system's headers for addresses and sockets, and the two places where their meaning differs.
#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#endif

#include <cstddef>

namespace vmkeep {

#ifdef _WIN32
// Windows' SO_REUSEADDR lets a second process take a port that is in use.
inline constexpr int kListenOption = SO_EXCLUSIVEADDRUSE;
// gRPC of this version has no unix sockets there.
inline constexpr size_t kMaxUnixPathBytes = 0;
#else
// A port that a process before us used may be listened on at once.
inline constexpr int kListenOption = SO_REUSEADDR;
inline constexpr size_t kMaxUnixPathBytes = sizeof(sockaddr_un::sun_path) - 1;
#endif

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_SOCKETS_H_
