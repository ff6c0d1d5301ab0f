#ifndef VMKEEP_TESTS_UNIT_VMKEEPCTL_PROCESS_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_VMKEEPCTL_PROCESS_FIXTURE_H_

#include "tests/unit/vmkeepctl/child.h"
#include "tests/unit/vmkeepctl/fake_controller.h"

#include "absl/strings/str_cat.h"
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

// What the tests of vmkeepctl as a process share.
namespace vmkeep::ctl {

inline constexpr char kId[] = "01900000-0000-7000-8000-000000000001";

inline v1::Backup MakeBackup(v1::Backup::State state) {
  v1::Backup backup;
  backup.set_id(kId);
  backup.set_vm_id("web-1");
  backup.set_name("nightly");
  backup.set_state(state);
  return backup;
}

inline v1::Backup Working(v1::Progress::Phase phase, int64_t done, int64_t total) {
  v1::Backup backup = MakeBackup(v1::Backup::BUILDING);
  backup.mutable_progress()->set_phase(phase);
  backup.mutable_progress()->set_bytes_done(done);
  backup.mutable_progress()->set_bytes_total(total);
  return backup;
}

inline v1::Backup Failed(bool retryable) {
  v1::Backup backup = MakeBackup(v1::Backup::UNRESOURCED);
  backup.mutable_failure()->set_reason("REPOSITORY_FULL");
  backup.mutable_failure()->set_message("the repository lacks 2 GiB");
  backup.mutable_failure()->set_phase("COPYING");
  backup.mutable_failure()->set_retryable(retryable);
  return backup;
}

inline v1::WatchBackupsResponse Message(const v1::Backup& backup, const std::string& token) {
  v1::WatchBackupsResponse message;
  *message.mutable_backup() = backup;
  message.set_resume_token(token);
  return message;
}

inline google::protobuf::Struct ParseJson(const std::string& json) {
  google::protobuf::Struct parsed;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) << json;
  return parsed;
}

template <typename Proto>
Proto ParseJsonAs(const std::string& json) {
  Proto message;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &message).ok()) << json;
  return message;
}

inline std::string Field(const google::protobuf::Struct& object, const std::string& name) {
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? "(absent)" : found->second.string_value();
}

class ProcessTest : public testing::Test {
 protected:
  Child Start(const std::vector<std::string>& arguments, bool terminal = false) const {
    std::vector<std::string> argv = {VMKEEPCTL_BINARY};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return {argv, {"TERM=xterm", absl::StrCat("VMKEEP_SERVER=", controller_.address())}, terminal};
  }
  ChildResult Run(const std::vector<std::string>& arguments, bool terminal = false) const {
    return Start(arguments, terminal).Wait();
  }

  FakeController controller_;
};

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TESTS_UNIT_VMKEEPCTL_PROCESS_FIXTURE_H_
