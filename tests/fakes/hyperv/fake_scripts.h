#ifndef VMKEEP_TESTS_FAKES_HYPERV_FAKE_SCRIPTS_H_
#define VMKEEP_TESTS_FAKES_HYPERV_FAKE_SCRIPTS_H_

#include "common/digest/digest.h"
#include "executor/hypervisor/hyperv/script_files.h"
#include "tests/support/temp_dir.h"

#include "absl/strings/string_view.h"
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::test {

// A folder with files of the scripts' names, for an interpreter that looks at the names alone.
class FakeScripts {
 public:
  FakeScripts() {
    for (const std::string file :
         {"common.ps1", "list-vms.ps1", "inspect-vm.ps1", "export-vm.ps1", "end-export.ps1"}) {
      EXPECT_TRUE(WriteFile(folder_.path(file), "throw 'a stand-in'\n"));
      digests_[file] = digest::ToHex(digest::Hash(absl::string_view(ReadFile(folder_.path(file)))));
    }
  }
  const std::string& folder() const { return folder_.path(); }
  const executor::hyperv::ScriptDigests& digests() const { return digests_; }

 private:
  TempDir folder_;
  executor::hyperv::ScriptDigests digests_;
};

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_FAKES_HYPERV_FAKE_SCRIPTS_H_
