#ifndef VMKEEP_COMMON_METRICS_HTTP_SERVER_H_
#define VMKEEP_COMMON_METRICS_HTTP_SERVER_H_

#include "common/fs/fd.h"

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace vmkeep::metrics {

// Answers GET /metrics on a loopback address, one client after the other; each has two seconds.
// Thread-safe. The destructor ends at once, whatever a client does; it waits only for a `text` that
// is being made.
class HttpServer {
 public:
  // `address` is 127.x.x.x:port, [::1]:port or localhost:port; port 0: one that is free. `text` is
  // called on the server's thread.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(absl::string_view address,
                                                           std::function<std::string()> text);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }  // as bound

 private:
  HttpServer(fs::Fd listener, fs::Fd stop, int port, std::function<std::string()> text);
  void Serve() const;

  const fs::Fd listener_;
  const fs::Fd stop_;  // readable: end
  const int port_;
  const std::function<std::string()> text_;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace vmkeep::metrics

#endif  // VMKEEP_COMMON_METRICS_HTTP_SERVER_H_
