#include "controller/options.h"

#include "common/error.h"

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <map>

ABSL_FLAG(std::vector<std::string>, listen, {"unix:/run/vmkeep/controller.sock"},
          "where to listen, comma-separated: unix:/path, loopback host:port, or any host:port with "
          "the TLS files");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file: the CA that must have signed the other side's certificate");
ABSL_FLAG(std::string, tls_cert, "", "PEM file: this side's certificate with its chain");
ABSL_FLAG(std::string, tls_key, "", "PEM file: the key of --tls_cert");
ABSL_FLAG(std::string, state_dir, "/var/lib/vmkeep/controller",
          "folder of the database; made when it is not there");
ABSL_FLAG(int, tasks_per_host, 2, "backups and scrubs that one host runs at a time, 1 to 64");
ABSL_FLAG(int, tasks_per_repository, 4,
          "backups and scrubs that one repository serves at a time, 1 to 1024");
ABSL_FLAG(std::vector<std::string>, operators, {},
          "common names of client certificates that may register hosts and initialise "
          "repositories, comma-separated; "
          "local callers always may");
ABSL_FLAG(std::string, metrics_listen, "",
          "where Prometheus scrapes /metrics over HTTP: a loopback host:port; empty: nowhere");
ABSL_FLAG(std::string, log_level, "info", "debug, info, warning or error");

namespace vmkeep::controller {
namespace {

void CheckRange(std::vector<FieldViolation>& found, const std::string& flag, int value, int max) {
  if (value < 1 || value > max)
    found.push_back({flag, absl::StrCat(value, " is not within 1 and ", max)});
}

}  // namespace

absl::StatusOr<Options> OptionsFromFlags() {
  const std::map<std::string, log::Level> levels = {{"debug", log::Level::kDebug},
                                                    {"info", log::Level::kInfo},
                                                    {"warning", log::Level::kWarning},
                                                    {"error", log::Level::kError}};
  Options options;
  options.listen = absl::GetFlag(FLAGS_listen);
  options.tls = {absl::GetFlag(FLAGS_tls_ca), absl::GetFlag(FLAGS_tls_cert),
                 absl::GetFlag(FLAGS_tls_key)};
  options.state_dir = absl::GetFlag(FLAGS_state_dir);
  options.tasks_per_host = absl::GetFlag(FLAGS_tasks_per_host);
  options.tasks_per_repository = absl::GetFlag(FLAGS_tasks_per_repository);
  options.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  const std::vector<std::string> operators = absl::GetFlag(FLAGS_operators);
  options.operators = {operators.begin(), operators.end()};

  std::vector<FieldViolation> found;
  if (options.listen.empty()) found.push_back({"--listen", "give at least one address"});
  if (!absl::StartsWith(options.state_dir, "/"))
    found.push_back({"--state_dir", "must be an absolute path"});
  CheckRange(found, "--tasks_per_host", options.tasks_per_host, 64);
  CheckRange(found, "--tasks_per_repository", options.tasks_per_repository, 1024);
  const auto level = levels.find(absl::GetFlag(FLAGS_log_level));
  if (level == levels.end()) {
    found.push_back({"--log_level", "accepted: debug, info, warning, error"});
  } else {
    options.log_level = level->second;
  }
  if (!found.empty()) return InvalidArgument(found);
  return options;
}

}  // namespace vmkeep::controller
