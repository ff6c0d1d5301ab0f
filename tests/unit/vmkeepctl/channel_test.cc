#include "common/channel.h"

#include "common/clock.h"
#include "common/error.h"
#include "tests/unit/vmkeepctl/authority.h"
#include "vmkeep/v1/inventory_service.grpc.pb.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace vmkeep {
namespace {

using ::testing::HasSubstr;

// Debian's c-ares leaks a few bytes with each name that it looks up, which LeakSanitizer rightly
// reports.
#ifdef VMKEEP_SANITIZED
constexpr bool kLooksUpNames = false;
#else
constexpr bool kLooksUpNames = true;
#endif

std::string MakeTempDir() {
  std::string path = absl::StrCat(testing::TempDir(), "vmkeep-channel-XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

class EchoService final : public v1::InventoryService::Service {
 public:
  grpc::Status GetHost(grpc::ServerContext*, const v1::GetHostRequest* request,
                       v1::Host* host) override {
    host->set_id(request->id());
    return grpc::Status::OK;
  }
};

class ChannelTest : public testing::Test {
 protected:
  void TearDown() override {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(folder_);
  }

  void Serve(const std::string& address, const TlsFiles& tls) {
    grpc::ServerBuilder builder;
    const absl::Status added = AddListener(builder, address, tls, &port_);
    ASSERT_TRUE(added.ok()) << added;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  static grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    v1::GetHostRequest request;
    request.set_id("h1");
    v1::Host host;
    const grpc::Status status =
        v1::InventoryService::NewStub(channel)->GetHost(&context, request, &host);
    EXPECT_EQ(host.id(), status.ok() ? "h1" : "");
    return status;
  }

  static grpc::Status DialAndCall(const std::string& address, const TlsFiles& tls) {
    const auto channel = Dial(address, tls);
    EXPECT_TRUE(channel.ok()) << channel.status();
    return channel.ok() ? Call(*channel) : grpc::Status(grpc::StatusCode::ABORTED, "not dialled");
  }

  std::string Local(absl::string_view host = "127.0.0.1") const {
    return absl::StrCat(host, ":", port_);
  }

  const std::string folder_ = MakeTempDir();
  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

TEST_F(ChannelTest, WithoutTlsOnlyUnixAndLoopbackAreAccepted) {
  for (const char* address : {"unix:/run/vmkeep/controller.sock", "127.0.0.1:7000",
                              "127.9.9.9:7000", "[::1]:7000", "localhost:7000", "127.0.0.1:0"}) {
    EXPECT_TRUE(ServerCredentialsFor(address, {}).ok()) << address;
    EXPECT_TRUE(ClientCredentialsFor(address, {}).ok()) << address;
  }
  for (const char* address :
       {"0.0.0.0:7000", "[::]:7000", "10.0.0.1:7000", "host-1:7000", "localhost.example:7000",
        "[::ffff:127.0.0.1]:7000", "128.0.0.1:7000"}) {
    const absl::Status status = ServerCredentialsFor(address, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_EQ(ErrorReason(status), "INSECURE_LISTENER") << address;
    EXPECT_THAT(std::string(status.message()), HasSubstr("give a CA, a certificate and a key"));
    EXPECT_EQ(ErrorReason(Dial(address, {}).status()), "INSECURE_LISTENER") << address;
  }
}

TEST_F(ChannelTest, MalformedAddressesAreRefused) {
  for (const char* address :
       {"", "unix:", "unix:relative", "unix:///a", "unix:/with space", "unix:/a%2Fb",
        "unix-abstract:x", "host", ":7000", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1:+1", "::1:7000", "[::1:7000", "[localhost]:7000",
        "dns:///127.0.0.1:7000", "ho/st:1"}) {
    EXPECT_EQ(ServerCredentialsFor(address, {}).status().code(), absl::StatusCode::kInvalidArgument)
        << address;
    EXPECT_EQ(Dial(address, {}).status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
  EXPECT_FALSE(Dial(absl::StrCat("unix:/", std::string(107, 'x')), {}).ok());
  EXPECT_TRUE(Dial(absl::StrCat("unix:/", std::string(106, 'x')), {}).ok());
}

TEST_F(ChannelTest, TlsFilesMustBeWholeAndBelongTogether) {
  const Authority authority(folder_, "ca");
  const TlsFiles one = authority.Issue("one", "IP:127.0.0.1");
  const TlsFiles two = authority.Issue("two", "IP:127.0.0.1");
  EXPECT_TRUE(ServerCredentialsFor("0.0.0.0:7000", one).ok());
  for (const TlsFiles& bad :
       {TlsFiles{one.ca, "", ""}, TlsFiles{"", one.cert, one.key},
        TlsFiles{one.ca, one.cert, two.key}, TlsFiles{one.key, one.cert, one.key},
        TlsFiles{one.ca, one.cert, one.ca}, TlsFiles{one.ca, folder_ + "/absent", one.key}}) {
    EXPECT_EQ(ServerCredentialsFor("0.0.0.0:7000", bad).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ClientCredentialsFor("10.0.0.1:7000", bad).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  // Half of the files is a mistake for a unix socket as well.
  EXPECT_FALSE(ServerCredentialsFor("unix:/run/x", TlsFiles{one.ca, "", ""}).ok());
}

TEST_F(ChannelTest, PlainCallsOverUnixAndLoopback) {
  const std::string socket = absl::StrCat("unix:", folder_, "/s");
  Serve(socket, {});
  EXPECT_TRUE(DialAndCall(socket, {}).ok());
  server_->Shutdown();

  Serve("127.0.0.1:0", {});
  EXPECT_TRUE(DialAndCall(Local(), {}).ok());
  if (kLooksUpNames) {
    EXPECT_TRUE(DialAndCall(Local("localhost"), {}).ok());
  }
}

TEST_F(ChannelTest, IPv6Loopback) {
  Serve("[::1]:0", {});
  if (port_ == 0) GTEST_SKIP() << "no IPv6 loopback here";
  const grpc::Status status = DialAndCall(Local("[::1]"), {});
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ChannelTest, APortIsNotSharedWithASecondServer) {
  Serve("127.0.0.1:0", {});
  grpc::ServerBuilder builder;
  int second_port = -1;
  ASSERT_TRUE(AddListener(builder, Local(), {}, &second_port).ok());
  builder.RegisterService(&service_);
  EXPECT_EQ(builder.BuildAndStart(), nullptr);
}

TEST_F(ChannelTest, MutualTls) {
  const Authority authority(folder_, "ca");
  Serve("127.0.0.1:0", authority.Issue("server", "IP:127.0.0.1,DNS:localhost"));
  const TlsFiles client = authority.Issue("client", "DNS:client");
  EXPECT_TRUE(DialAndCall(Local(), client).ok());
  if (kLooksUpNames) {
    EXPECT_TRUE(DialAndCall(Local("localhost"), client).ok());
  }

  // A plain client, and one that knows the CA but has no certificate of its own.
  EXPECT_EQ(DialAndCall(Local(), {}).error_code(), grpc::StatusCode::UNAVAILABLE);
  grpc::SslCredentialsOptions only_ca;
  std::ifstream pem(client.ca);
  only_ca.pem_root_certs.assign(std::istreambuf_iterator<char>(pem), {});
  const auto channel = grpc::CreateChannel(Local(), grpc::SslCredentials(only_ca));
  EXPECT_EQ(Call(channel).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ChannelTest, StrangersAreRefusedBothWays) {
  const Authority ours(folder_, "ours");
  const Authority theirs(folder_, "theirs");
  const TlsFiles server = ours.Issue("server", "IP:127.0.0.1");
  Serve("127.0.0.1:0", server);
  const TlsFiles stranger = theirs.Issue("client", "DNS:client");
  // The client does not trust the server; then it does, but the server does not trust the client.
  EXPECT_EQ(DialAndCall(Local(), stranger).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DialAndCall(Local(), {server.ca, stranger.cert, stranger.key}).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ChannelTest, AServerUnderAnotherNameIsRefused) {
  const Authority authority(folder_, "ca");
  Serve("127.0.0.1:0", authority.Issue("server", "DNS:other.example"));
  EXPECT_EQ(DialAndCall(Local(), authority.Issue("client", "DNS:client")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ChannelTest, SwappedFilesAreTakenUp) {
  namespace fs = std::filesystem;
  const Authority before(folder_, "before");
  const Authority after(folder_, "after");
  const TlsFiles first = before.Issue("server", "IP:127.0.0.1");
  const TlsFiles second = after.Issue("server", "IP:127.0.0.1");
  const TlsFiles used = {folder_ + "/ca", folder_ + "/cert", folder_ + "/key"};
  const auto put = [&](const TlsFiles& files) {
    for (const auto& [from, to] :
         {std::pair(files.ca, used.ca), {files.cert, used.cert}, {files.key, used.key}}) {
      fs::copy_file(from, to + ".new");
      fs::rename(to + ".new", to);
    }
  };
  put(first);
  Serve("127.0.0.1:0", used);
  const TlsFiles client = after.Issue("client", "DNS:client");
  ASSERT_EQ(DialAndCall(Local(), client).error_code(), grpc::StatusCode::UNAVAILABLE);

  put(second);
  grpc::Status status;
  for (int i = 0; i < 60; ++i) {
    status = DialAndCall(Local(), client);
    if (status.ok()) break;
    RealClock().WaitFor(absl::Milliseconds(250), {});
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(DialAndCall(Local(), before.Issue("client", "DNS:client")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace vmkeep
