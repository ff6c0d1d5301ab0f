#ifndef VMKEEP_TESTS_UNIT_FS_FOLDER_H_
#define VMKEEP_TESTS_UNIT_FS_FOLDER_H_

#include "common/fs/files.h"

#include "absl/strings/string_view.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <system_error>

namespace vmkeep::fs {

// A path in UTF-8 as std::filesystem takes it, on both systems.
inline std::filesystem::path Path(absl::string_view utf8) {
  return {std::u8string(utf8.begin(), utf8.end())};
}
inline std::string Text(const std::filesystem::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

// A new empty folder on either system, removed at the end of the scope.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / NewName()) {
    std::filesystem::create_directory(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string path() const { return Text(path_); }
  std::filesystem::path at(absl::string_view below) const { return path_ / Path(below); }
  void Put(absl::string_view below, absl::string_view content) const {
    std::ofstream out(at(below), std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  std::string Content(absl::string_view below) const {
    std::ifstream in(at(below), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

 private:
  static std::string NewName() {
    return "vmkeep-test-" + std::to_string(std::random_device()()) + "-" +
           std::to_string(std::random_device()());
  }
  const std::filesystem::path path_;
};

}  // namespace vmkeep::fs

#endif  // VMKEEP_TESTS_UNIT_FS_FOLDER_H_
