#ifndef VMKEEP_TESTS_SUPPORT_TEMP_DIR_H_
#define VMKEEP_TESTS_SUPPORT_TEMP_DIR_H_

#include "absl/strings/string_view.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace vmkeep::test {

// A new empty folder below $TMPDIR (/tmp), removed with all it holds at the end of the scope. Links
// are not followed.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "vmkeep-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();  // nothing in the test can go on without it
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // A path below the folder; nothing is made.
  std::string path(absl::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

// Replaces the file's content. False when it could not be written.
inline bool WriteFile(const std::string& path, absl::string_view content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  return out.good();
}

// The file's content; empty when it cannot be read.
inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_SUPPORT_TEMP_DIR_H_
