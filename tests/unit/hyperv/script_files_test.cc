#include "executor/hypervisor/hyperv/script_files.h"

#include "common/digest/digest.h"
#include "common/error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace vmkeep::executor::hyperv {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

constexpr const char* kFiles[] = {"common.ps1", "list-vms.ps1", "inspect-vm.ps1", "export-vm.ps1",
                                  "end-export.ps1"};

class ScriptFilesTest : public ::testing::Test {
 protected:
  ScriptFilesTest() {
    for (const std::string file : kFiles) {
      EXPECT_TRUE(test::WriteFile(folder_.path(file), file));
      digests_[file] = digest::ToHex(digest::Hash(absl::string_view(file)));
    }
  }
  void ExpectTampered(const std::string& file) {
    const absl::Status status = CheckScripts(folder_.path(), digests_);
    EXPECT_THAT(status, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                              HasReason("SCRIPT_TAMPERED")));
    EXPECT_THAT(ErrorDetails(status)["file"], EndsWith(file));
  }
  test::TempDir folder_;
  ScriptDigests digests_;
};

TEST_F(ScriptFilesTest, AllAsBuiltIsOkWhateverElseLiesThere) {
  EXPECT_TRUE(test::WriteFile(folder_.path("notes.txt"), "x"));
  EXPECT_THAT(CheckScripts(folder_.path(), digests_), IsOk());
}

TEST_F(ScriptFilesTest, OneThatIsChangedIsNamed) {
  for (const std::string file : kFiles) {
    for (const std::string& text : {file + " ", std::string(), file + std::string(3 << 20, ' ')}) {
      ASSERT_TRUE(test::WriteFile(folder_.path(file), text));
      ExpectTampered(file);
    }
    ASSERT_TRUE(test::WriteFile(folder_.path(file), file));
  }
}

TEST_F(ScriptFilesTest, OneThatIsGoneIsNamed) {
  std::filesystem::remove(folder_.path("export-vm.ps1"));
  ExpectTampered("export-vm.ps1");
  std::filesystem::create_directory(folder_.path("export-vm.ps1"));
  ExpectTampered("export-vm.ps1");
}

TEST_F(ScriptFilesTest, ABuildWithoutOneRunsNone) {
  digests_.erase("common.ps1");
  ExpectTampered("common.ps1");
}

// The digests of this build are those of the files in the source tree.
TEST_F(ScriptFilesTest, TheBuildKnowsItsScripts) {
  const std::string source = std::string(VMKEEP_SOURCE) + "/executor/hypervisor/hyperv/scripts";
  ScriptDigests there;
  if (std::filesystem::is_directory(source)) {
    for (const auto& entry : std::filesystem::directory_iterator(source)) {
      if (entry.path().extension() != ".ps1") continue;
      there[entry.path().filename()] =
          digest::ToHex(digest::Hash(absl::string_view(test::ReadFile(entry.path()))));
    }
  }
  EXPECT_EQ(BuiltScripts(), there);
  bool all = true;
  for (const std::string file : kFiles) all = all && there.contains(file);
  EXPECT_EQ(CheckScripts(source, BuiltScripts()).ok(), all);
}

TEST(ScriptPathTest, TheFolderSaysHowPathsAreWritten) {
  EXPECT_EQ(ScriptPath(R"(C:\Program Files\vmkeep\scripts)", "a.ps1"),
            R"(C:\Program Files\vmkeep\scripts\a.ps1)");
  EXPECT_EQ(ScriptPath("/opt/scripts", "a.ps1"), "/opt/scripts/a.ps1");
}

}  // namespace
}  // namespace vmkeep::executor::hyperv
