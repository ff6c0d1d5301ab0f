#ifndef VMKEEP_COMMON_METRICS_HTTP_SERVER_H_
#define VMKEEP_COMMON_METRICS_HTTP_SERVER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace httplib {
class Server;
}

namespace vmkeep::metrics {

// Answers GET /metrics on a loopback address, by cpp-httplib. The destructor lets an answer under
// way end, and waits no longer than two seconds for a client that neither reads nor writes.
class HttpServer {
 public:
  // `address` is 127.x.x.x:port, [::1]:port or localhost:port; port 0: one that is free. `text` is
  // called on the server's threads.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(absl::string_view address,
                                                           std::function<std::string()> text);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }  // as bound

 private:
  HttpServer(std::unique_ptr<httplib::Server> server, int port);

  const std::unique_ptr<httplib::Server> server_;
  const int port_;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace vmkeep::metrics

#endif  // VMKEEP_COMMON_METRICS_HTTP_SERVER_H_
