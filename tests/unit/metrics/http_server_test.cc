#include "common/metrics/http_server.h"

#include "common/clock.h"
#include "common/fs/fd.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/str_cat.h"
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::metrics {
namespace {

using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

fs::Fd Connect(int port, int receive_buffer = 0) {
  fs::Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (receive_buffer > 0) {
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

void Send(const fs::Fd& fd, const std::string& bytes) {
  EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

std::string ReadAll(const fs::Fd& fd) {
  std::string all;
  std::array<char, 4096> buffer = {};
  ssize_t count = 0;
  while ((count = read(fd.get(), buffer.data(), buffer.size())) > 0) {
    all.append(buffer.data(), static_cast<size_t>(count));
  }
  return all;
}

std::string Ask(int port, const std::string& request) {
  const fs::Fd fd = Connect(port);
  Send(fd, request);
  return ReadAll(fd);
}

std::unique_ptr<HttpServer> Serving(const std::string& text) {
  auto server = HttpServer::Start("127.0.0.1:0", [text] { return text; });
  EXPECT_THAT(server, IsOk());
  return *std::move(server);
}

TEST(HttpServerTest, AnswersAScrape) {
  const auto server = Serving("a 1\n");
  EXPECT_THAT(Ask(server->port(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("version=0.0.4"),
                    HasSubstr("Content-Length: 4\r\n"), EndsWith("\r\n\r\na 1\n")));
}

TEST(HttpServerTest, AnswersNothingElse) {
  const auto server = Serving("a 1\n");
  for (const char* request :
       {"GET / HTTP/1.1\r\n\r\n", "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "hello\r\n\r\n"}) {
    EXPECT_THAT(Ask(server->port(), request), StartsWith("HTTP/1.1 40")) << request;
  }
}

TEST(HttpServerTest, ALargeAnswerArrivesWhole) {
  const auto server = Serving(std::string(5 << 20, 'x'));
  EXPECT_GT(Ask(server->port(), "GET /metrics HTTP/1.1\r\n\r\n").size(), size_t{5} << 20);
}

// One that says nothing, one that stops in the middle, and one that does not read its answer: each
// is waited for two seconds at most.
TEST(HttpServerTest, EndsSoonWhateverItsClientsDo) {
  for (const std::string request : {"", "GET /met", "GET /metrics HTTP/1.1\r\n\r\n"}) {
    auto server = Serving(std::string(64 << 20, 'x'));
    const fs::Fd client = Connect(server->port(), 4096);
    Send(client, request);
    if (request.size() > 10) {  // wait for the answer's first bytes: it is under way
      pollfd readable = {client.get(), POLLIN, 0};
      ASSERT_EQ(poll(&readable, 1, 10'000), 1);
    }
    const absl::Duration began = RealClock().Monotonic();
    server.reset();
    EXPECT_LT(RealClock().Monotonic() - began, absl::Seconds(4)) << request;
  }
}

TEST(HttpServerTest, ASilentClientDoesNotKeepTheNextOneOut) {
  const auto server = Serving("a 1\n");
  const fs::Fd silent = Connect(server->port());
  EXPECT_THAT(Ask(server->port(), "GET /metrics HTTP/1.1\r\n\r\n"), EndsWith("a 1\n"));
}

TEST(HttpServerTest, SaysWhyItCannotListen) {
  const auto first = Serving("");
  const auto second =
      HttpServer::Start(absl::StrCat("127.0.0.1:", first->port()), [] { return ""; });
  EXPECT_THAT(second.status(),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("CANNOT_LISTEN")));
  EXPECT_THAT(second.status().message(), HasSubstr("Address already in use"));
}

TEST(HttpServerTest, ListensOnLoopbackOnly) {
  for (const char* address : {"0.0.0.0:9817", "192.0.2.1:9817", "[::]:9817", "host.example:9817"}) {
    const auto server = HttpServer::Start(address, [] { return ""; });
    EXPECT_THAT(server.status(), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                       HasReason("INSECURE_LISTENER")))
        << address;
  }
  for (const char* address : {"9817", "127.0.0.1:", "127.0.0.1:70000", "[::1:9817", "[x]:1"}) {
    const auto server = HttpServer::Start(address, [] { return ""; });
    EXPECT_FALSE(server.ok()) << address;
  }
}

}  // namespace
}  // namespace vmkeep::metrics
