#include "common/channel.h"

#include "common/error.h"
#include "common/sockets.h"
#include "common/status_macros.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include <grpcpp/create_channel.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace vmkeep {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

constexpr int kMaxMessageBytes = 16 << 20;
constexpr int kPingMs = 20'000;
constexpr int kPingTimeoutMs = 10'000;
constexpr int kLeastPingIntervalMs = 10'000;
constexpr unsigned kCertificateRefreshSeconds = 5;

struct Address {
  std::string text;
  bool unix_socket = false;
  bool loopback = false;
};

absl::Status BadAddress(absl::string_view address, absl::string_view why) {
  return InvalidArgument("address", absl::StrCat("\"", address, "\": ", why,
                                                 "; use unix:/path, host:port or [ipv6]:port"));
}

absl::StatusOr<Address> ParseUnix(absl::string_view address, absl::string_view path) {
  if (kMaxUnixPathBytes == 0) return BadAddress(address, "there are no unix sockets on Windows");
  // gRPC reads the address as a URI: characters with a meaning there would name another file.
  const bool plain = path.find_first_not_of(
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                         "0123456789/._~@:+,=-") == absl::string_view::npos;
  if (!absl::StartsWith(path, "/") || absl::StartsWith(path, "//") || !plain) {
    return BadAddress(address,
                      "the socket's path must be absolute, of letters, digits and /._~@:+,=-");
  }
  if (path.size() > kMaxUnixPathBytes) {
    return BadAddress(
        address, absl::StrCat("the socket's path is longer than ", kMaxUnixPathBytes, " bytes"));
  }
  return Address{std::string(address), true, false};
}

bool IsLoopback(const std::string& host) {
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return absl::EqualsIgnoreCase(host, "localhost");
}

absl::StatusOr<Address> ParseTcp(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos) return BadAddress(address, "there is no port");
  const absl::string_view digits = address.substr(colon + 1);
  if (digits.empty() || !absl::ascii_isdigit(digits[0]) || !absl::SimpleAtoi(digits, &port) ||
      port > 65535) {
    return BadAddress(address, "the port is not a number up to 65535");
  }
  absl::string_view host = address.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) {
    in6_addr v6{};
    if (!absl::ConsumeSuffix(&host, "]") ||
        inet_pton(AF_INET6, std::string(host).c_str(), &v6) != 1) {
      return BadAddress(address, "there is no IPv6 address in the brackets");
    }
  } else if (host.empty() ||
             host.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789.-_") != absl::string_view::npos) {
    return BadAddress(address, "that is no host name");
  }
  return Address{std::string(address), false, IsLoopback(std::string(host))};
}

absl::StatusOr<Address> ParseAddress(absl::string_view address) {
  absl::string_view path = address;
  if (absl::ConsumePrefix(&path, "unix:")) return ParseUnix(address, path);
  return ParseTcp(address);
}

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* p) const {
    (void)Free(p);
  }
};
using File = std::unique_ptr<BIO, Freer<&BIO_free>>;
using Certificate = std::unique_ptr<X509, Freer<&X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Freer<&EVP_PKEY_free>>;

// Answers for OpenSSL, which would ask the terminal for a passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Certificate> ReadCertificate(absl::string_view field, const std::string& path) {
  const File file(BIO_new_file(path.c_str(), "r"));
  if (!file)
    return InvalidArgument(field, absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  Certificate certificate(PEM_read_bio_X509(file.get(), nullptr, NoPassphrase, nullptr));
  if (!certificate)
    return InvalidArgument(field, absl::StrCat("there is no PEM certificate in ", path));
  return certificate;
}

// gRPC would start with files it cannot use and fail every handshake: look before.
absl::Status CheckTlsFiles(const TlsFiles& tls) {
  VMKEEP_RETURN_IF_ERROR(ReadCertificate("tls_ca", tls.ca).status());
  VMKEEP_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate("tls_cert", tls.cert));
  const File file(BIO_new_file(tls.key.c_str(), "r"));
  if (!file)
    return InvalidArgument("tls_key",
                           absl::StrCat("cannot read ", tls.key, ": ", std::strerror(errno)));
  const PrivateKey key(PEM_read_bio_PrivateKey(file.get(), nullptr, NoPassphrase, nullptr));
  if (!key)
    return InvalidArgument("tls_key",
                           absl::StrCat("there is no PEM key without a passphrase in ", tls.key));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return InvalidArgument(
        "tls_key",
        absl::StrCat("the key in ", tls.key, " is not that of the certificate in ", tls.cert));
  }
  return absl::OkStatus();
}

absl::Status InsecureListener(absl::string_view address) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "INSECURE_LISTENER",
      absl::StrCat(
          "\"", address,
          "\" is neither a unix socket nor loopback, and without TLS anybody on the "
          "network could act there: give a CA, a certificate and a key for mutual TLS, or use "
          "unix:/path or 127.0.0.1"),
      {{"address", std::string(address)}});
}

enum class Security { kPlain, kMutualTls };

absl::StatusOr<Security> SecurityFor(const Address& address, const TlsFiles& tls) {
  const bool any = !tls.ca.empty() || !tls.cert.empty() || !tls.key.empty();
  const bool all = !tls.ca.empty() && !tls.cert.empty() && !tls.key.empty();
  if (any && !all)
    return InvalidArgument(
        "tls", "mutual TLS takes a CA, a certificate and a key: give all three or none");
  if (address.unix_socket) return Security::kPlain;
  if (all) {
    VMKEEP_RETURN_IF_ERROR(CheckTlsFiles(tls));
    return Security::kMutualTls;
  }
  if (!address.loopback) return InsecureListener(address.text);
  return Security::kPlain;
}

std::shared_ptr<FileWatcherCertificateProvider> WatchFiles(const TlsFiles& tls) {
  return std::make_shared<FileWatcherCertificateProvider>(tls.key, tls.cert, tls.ca,
                                                          kCertificateRefreshSeconds);
}

// As a URI without doubt: a host called "ipv4" is a name, not a scheme.
std::string DialTarget(const Address& address) {
  if (address.unix_socket) return address.text;
  return absl::StrCat("dns:///", absl::StrReplaceAll(address.text, {{"[", "%5B"}, {"]", "%5D"}}));
}

grpc::ChannelArguments DialArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsFor(
    absl::string_view address, const TlsFiles& tls) {
  VMKEEP_ASSIGN_OR_RETURN(const Address parsed, ParseAddress(address));
  VMKEEP_ASSIGN_OR_RETURN(const Security security, SecurityFor(parsed, tls));
  if (security == Security::kPlain) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions options(WatchFiles(tls));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentialsFor(
    absl::string_view address, const TlsFiles& tls) {
  VMKEEP_ASSIGN_OR_RETURN(const Address parsed, ParseAddress(address));
  VMKEEP_ASSIGN_OR_RETURN(const Security security, SecurityFor(parsed, tls));
  if (security == Security::kPlain) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(WatchFiles(tls));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Dial(absl::string_view address,
                                                    const TlsFiles& tls) {
  VMKEEP_ASSIGN_OR_RETURN(const Address parsed, ParseAddress(address));
  VMKEEP_ASSIGN_OR_RETURN(const auto credentials, ClientCredentialsFor(address, tls));
  return grpc::CreateCustomChannel(DialTarget(parsed), credentials, DialArguments());
}

absl::Status AddListener(grpc::ServerBuilder& builder, absl::string_view address,
                         const TlsFiles& tls, int* selected_port) {
  VMKEEP_ASSIGN_OR_RETURN(const auto credentials, ServerCredentialsFor(address, tls));
  builder.AddListeningPort(std::string(address), credentials, selected_port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kLeastPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  return absl::OkStatus();
}

}  // namespace vmkeep
