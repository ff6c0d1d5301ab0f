#include "executor/task/journal/reserve_file.h"

#include "common/host/state_folder.h"

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr int64_t kBytes = 8 << 20;

}  // namespace

ReserveFile::ReserveFile(std::string path) : path_(std::move(path)) {}

void ReserveFile::Fill() {
  std::error_code failed;
  if (std::filesystem::file_size(path_, failed) == kBytes && !failed) return;
  (void)host::AllocateFile(path_, kBytes);
}

bool ReserveFile::Release() {
  std::error_code failed;
  return std::filesystem::remove(path_, failed);
}

}  // namespace vmkeep::executor
