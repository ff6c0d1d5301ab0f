#ifndef VMKEEP_TESTS_UNIT_VMKEEPCTL_AUTHORITY_H_
#define VMKEEP_TESTS_UNIT_VMKEEPCTL_AUTHORITY_H_

#include "common/channel.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

namespace vmkeep {

// A certificate authority in a folder, by the openssl command.
class Authority {
 public:
  Authority(std::string folder, std::string name)
      : folder_(std::move(folder)), name_(std::move(name)) {
    Run(absl::StrCat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=",
        name_, " -keyout ", Path(".key"), " -out ", Path(".pem")));
  }

  // A certificate for `names`, such as "IP:127.0.0.1", signed by this authority.
  TlsFiles Issue(const std::string& who, const std::string& names) const {
    const std::string stem = absl::StrCat(folder_, "/", name_, "-", who);
    std::ofstream(stem + ".ext") << "subjectAltName=" << names << "\n";
    Run(absl::StrCat("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=",
                     who, " -keyout ", stem, ".key -out ", stem, ".csr"));
    Run(absl::StrCat("openssl x509 -req -days 2 -CAcreateserial -in ", stem, ".csr -CA ",
                     Path(".pem"), " -CAkey ", Path(".key"), " -extfile ", stem, ".ext -out ", stem,
                     ".pem"));
    return {Path(".pem"), stem + ".pem", stem + ".key"};
  }

 private:
  std::string Path(absl::string_view suffix) const {
    return absl::StrCat(folder_, "/", name_, suffix);
  }
  static void Run(const std::string& command) {
    ASSERT_EQ(std::system((command + " >/dev/null 2>&1").c_str()), 0) << command;
  }

  const std::string folder_;
  const std::string name_;
};

}  // namespace vmkeep

#endif  // VMKEEP_TESTS_UNIT_VMKEEPCTL_AUTHORITY_H_
