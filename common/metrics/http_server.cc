#include "common/metrics/http_server.h"

#include "common/metrics/errors.h"
#include "common/sockets.h"
#include "common/status_macros.h"

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/notification.h"
#include <httplib.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace vmkeep::metrics {
namespace {

constexpr std::chrono::seconds kPerReadOrWrite(2);
// One for the scrape, one for a person with curl; clients that are silent take the others.
constexpr size_t kThreads = 4;
constexpr size_t kMaxRequestBytes = 8 << 10;
// A stop is noticed between two pieces.
constexpr size_t kPieceBytes = 64 << 10;

struct Address {
  std::string host;  // 127.x.x.x or ::1
  int port = 0;
};

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return error::BadAddress(text, "there is no port");
  Address address;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 0 ||
      address.port > 65535) {
    return error::BadAddress(text, "the port is not a number up to 65535");
  }
  address.host = std::string(text.substr(0, colon));
  if (absl::EqualsIgnoreCase(address.host, "localhost")) address.host = "127.0.0.1";
  if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
    in6_addr v6 = {};
    if (inet_pton(AF_INET6, address.host.c_str(), &v6) != 1) {
      return error::BadAddress(text, "there is no IPv6 address in the brackets");
    }
    if (!IN6_IS_ADDR_LOOPBACK(&v6)) return error::NotLoopback(text);
    return address;
  }
  in_addr v4 = {};
  // A name could mean anything by the time it is bound.
  if (inet_pton(AF_INET, address.host.c_str(), &v4) != 1) return error::NotLoopback(text);
  if (ntohl(v4.s_addr) >> 24 != 127) return error::NotLoopback(text);
  return address;
}

void Answer(std::string text, httplib::Response& response) {
  const auto body = std::make_shared<const std::string>(std::move(text));
  response.set_content_provider(body->size(), "text/plain; version=0.0.4; charset=utf-8",
                                [body](size_t offset, size_t length, httplib::DataSink& sink) {
                                  return sink.write(body->data() + offset,
                                                    std::min(length, kPieceBytes));
                                });
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(absl::string_view address,
                                                              std::function<std::string()> text) {
  VMKEEP_ASSIGN_OR_RETURN(const Address parsed, ParseAddress(address));
  auto server = std::make_unique<httplib::Server>();
  // The library's default is SO_REUSEPORT, with which two daemons would share one port unseen.
  server->set_socket_options([](socket_t fd) {
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, kListenOption, reinterpret_cast<const char*>(&on), sizeof(on));
  });
  server->set_read_timeout(kPerReadOrWrite);
  server->set_write_timeout(kPerReadOrWrite);
  server->set_keep_alive_timeout(kPerReadOrWrite.count());
  server->set_keep_alive_max_count(1);
  server->set_payload_max_length(kMaxRequestBytes);
  server->Get("/metrics",
              [text = std::move(text)](const httplib::Request&, httplib::Response& response) {
                Answer(text(), response);
              });
  errno = 0;
  const int port = parsed.port == 0 ? server->bind_to_any_port(parsed.host)
                   : server->bind_to_port(parsed.host, parsed.port) ? parsed.port
                                                                    : -1;
  if (port < 0) return error::CannotListen(address, errno);
  return absl::WrapUnique(new HttpServer(std::move(server), port));
}

HttpServer::HttpServer(std::unique_ptr<httplib::Server> server, int port)
    : server_(std::move(server)), port_(port) {
  // Its stop() does nothing before it runs: this is the first that it calls then.
  absl::Notification runs;
  server_->new_task_queue = [&runs] {
    runs.Notify();
    return new httplib::ThreadPool(kThreads);
  };
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  runs.WaitForNotification();
}

HttpServer::~HttpServer() {
  server_->stop();
  thread_.join();
}

}  // namespace vmkeep::metrics
