#include "common/metrics/http_server.h"

#include "common/clock.h"
#include "common/metrics/errors.h"
#include "common/status_macros.h"

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

namespace vmkeep::metrics {
namespace {

constexpr absl::Duration kPerClient = absl::Seconds(2);
constexpr absl::Duration kAfterFailedAccept = absl::Milliseconds(200);
constexpr size_t kMaxRequestBytes = 8 << 10;
constexpr int kBacklog = 16;

// A loopback address of either family, ready to be bound.
struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return error::BadAddress(text, "there is no port");
  int port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return error::BadAddress(text, "the port is not a number up to 65535");
  }
  std::string host(text.substr(0, colon));
  if (absl::EqualsIgnoreCase(host, "localhost")) host = "127.0.0.1";
  Address address;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6->sin6_addr) != 1) {
      return error::BadAddress(text, "there is no IPv6 address in the brackets");
    }
    if (!IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) return error::NotLoopback(text);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  // A name could mean anything by the time it is bound.
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) != 1) return error::NotLoopback(text);
  if (ntohl(v4->sin_addr.s_addr) >> 24 != 127) return error::NotLoopback(text);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(static_cast<uint16_t>(port));
  address.size = sizeof(sockaddr_in);
  return address;
}

absl::StatusOr<fs::Fd> Listen(absl::string_view text, const Address& address) {
  fs::Fd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return error::CannotListen(text, "socket", errno);
  const int on = 1;  // what an earlier process left in TIME_WAIT is in nobody's way
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const auto* name = reinterpret_cast<const sockaddr*>(&address.storage);
  if (bind(fd.get(), name, address.size) != 0) return error::CannotListen(text, "bind", errno);
  if (listen(fd.get(), kBacklog) != 0) return error::CannotListen(text, "listen", errno);
  return fd;
}

int PortOf(const fs::Fd& fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return bound.ss_family == AF_INET6 ? ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port)
                                     : ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

enum class Ready { kYes, kTimeout, kStop };

// Waits until `fd` has `events`; -1: for a stop alone.
Ready Await(int fd, short events, int stop, absl::Duration until) {
  std::array<pollfd, 2> fds{pollfd{stop, POLLIN, 0}, pollfd{fd, events, 0}};
  while (true) {
    const absl::Duration left = until - RealClock().Monotonic();
    if (left <= absl::ZeroDuration()) return Ready::kTimeout;
    const int ms = left == absl::InfiniteDuration()
                       ? -1
                       : static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(left)));
    const int found = poll(fds.data(), fds.size(), ms);
    if (found < 0 && errno != EINTR) return Ready::kStop;
    if (fds[0].revents != 0) return Ready::kStop;
    if (found > 0 && fds[1].revents != 0) return Ready::kYes;
  }
}

// One client: one request, one answer, the end.
class Client {
 public:
  Client(int fd, int stop) : fd_(fd), stop_(stop), until_(RealClock().Monotonic() + kPerClient) {}

  // False when it said nothing that is a request.
  bool Read(std::string& request) const {
    std::array<char, 1024> buffer{};
    while (!absl::StrContains(request, "\r\n\r\n")) {
      if (request.size() > kMaxRequestBytes) return false;
      if (Await(fd_, POLLIN, stop_, until_) != Ready::kYes) return false;
      const ssize_t count = recv(fd_, buffer.data(), buffer.size(), 0);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count <= 0) return false;
      request.append(buffer.data(), static_cast<size_t>(count));
    }
    return true;
  }

  void Write(absl::string_view bytes) const {
    while (!bytes.empty()) {
      if (Await(fd_, POLLOUT, stop_, until_) != Ready::kYes) return;
      const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }

 private:
  const int fd_;
  const int stop_;
  const absl::Duration until_;
};

std::string Answer(absl::string_view status, absl::string_view body, bool with_body) {
  return absl::StrCat("HTTP/1.1 ", status,
                      "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                      "Content-Length: ",
                      body.size(), "\r\nConnection: close\r\n\r\n", with_body ? body : "");
}

std::string AnswerTo(absl::string_view request, const std::function<std::string()>& text) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(request.substr(0, request.find("\r\n")), ' ');
  const bool head = words[0] == "HEAD";
  if (words.size() != 3 || !absl::StartsWith(words[2], "HTTP/1.")) {
    return Answer("400 Bad Request", "this is no HTTP request\n", true);
  }
  if (!head && words[0] != "GET") {
    return Answer("405 Method Not Allowed", "GET or HEAD\n", true);
  }
  if (words[1] != "/metrics") return Answer("404 Not Found", "metrics are at /metrics\n", !head);
  return Answer("200 OK", text(), !head);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(absl::string_view address,
                                                              std::function<std::string()> text) {
  VMKEEP_ASSIGN_OR_RETURN(const Address parsed, ParseAddress(address));
  VMKEEP_ASSIGN_OR_RETURN(fs::Fd listener, Listen(address, parsed));
  fs::Fd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return error::CannotListen(address, "eventfd", errno);
  const int port = PortOf(listener);
  return absl::WrapUnique(
      new HttpServer(std::move(listener), std::move(stop), port, std::move(text)));
}

HttpServer::HttpServer(fs::Fd listener, fs::Fd stop, int port, std::function<std::string()> text)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      port_(port),
      text_(std::move(text)),
      thread_([this] { Serve(); }) {}

HttpServer::~HttpServer() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof(one));  // an eventfd at 0 takes it
  thread_.join();
}

void HttpServer::Serve() const {
  while (true) {
    const absl::Duration never = absl::InfiniteDuration();
    if (Await(listener_.get(), POLLIN, stop_.get(), never) != Ready::kYes) return;
    const fs::Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) {
      // No descriptor left, say: the client still waits, and asking at once would only spin.
      const absl::Duration until = RealClock().Monotonic() + kAfterFailedAccept;
      if (Await(-1, 0, stop_.get(), until) == Ready::kStop) return;
      continue;
    }
    const Client client(fd.get(), stop_.get());
    std::string request;
    if (client.Read(request)) client.Write(AnswerTo(request, text_));
  }
}

}  // namespace vmkeep::metrics
