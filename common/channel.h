#ifndef VMKEEP_COMMON_CHANNEL_H_
#define VMKEEP_COMMON_CHANNEL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

// The one place that says how an address is listened on and dialled. A connection is a unix socket,
// loopback, or mutual TLS; anything else is refused at start.
//
// An address is "unix:/absolute/path", "host:port" or "[ipv6]:port". Loopback is 127.0.0.0/8, [::1]
// and "localhost".
//
// What is refused:
//   INVALID_ARGUMENT     an address of another form; only some of the TLS files; files that do not
//   belong together FAILED_PRECONDITION  reason INSECURE_LISTENER: neither unix nor loopback, and
//   no TLS files
namespace vmkeep {

// PEM files for mutual TLS: all three or none. Swapped files are taken up within seconds, for new
// connections.
struct TlsFiles {
  std::string ca;    // who the peer's certificate must be signed by
  std::string cert;  // ours, with its chain
  std::string key;   // of `cert`, without a passphrase
};

// A unix socket is guarded by its file mode, never by TLS, so one set of files serves a mix of
// peers. With TLS files a TCP server asks every client for a certificate and refuses one that `ca`
// did not sign; a client also checks that the server's certificate names the host it dialled.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsFor(
    absl::string_view address, const TlsFiles& tls);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentialsFor(
    absl::string_view address, const TlsFiles& tls);

// A channel that connects when first used: pings a silent peer every 20 s, tries a lost one again
// within 5 s, takes messages up to 16 MiB, and ignores HTTP proxies of the environment.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Dial(absl::string_view address, const TlsFiles& tls);

// Adds the listener, and the settings that match Dial(): permits the pings, takes messages up to 16
// MiB, and does not share a port with another process. `selected_port`, when not null, has the port
// after BuildAndStart() (for port 0); 0 there means that the address could not be bound.
absl::Status AddListener(grpc::ServerBuilder& builder, absl::string_view address,
                         const TlsFiles& tls, int* selected_port = nullptr);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_CHANNEL_H_
