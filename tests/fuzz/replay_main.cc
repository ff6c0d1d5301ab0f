// Replays a fuzz target's committed corpus, in any build: what was found once stays found.
//
//   fuzz_<target>_test CORPUS_FOLDER
//
// A file's name says what the parser makes of it: good-* is taken, bad-* is refused. Each file is
// also given cut off at many places, of which nothing is claimed.
#include "tests/fuzz/fuzz.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

namespace {

constexpr size_t kCuts = 256;
// Of processor time, for a file and all its cuts; a sanitizer takes several times as long.
constexpr double kMaxSeconds = 5;
constexpr long kMaxKilobytes = 256 << 10;

// None for a folder that is not there.
std::vector<std::filesystem::path> Files(const char* folder) {
  std::vector<std::filesystem::path> files;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    files.push_back(entry);
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Feed(const std::string& input) {
  // A copy of exactly this size: a sanitizer sees what reads behind it.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

// What is wrong with what became of the file of this name; nullptr when nothing is.
const char* Judge(const std::string& name) {
  const bool accepted = vmkeep::fuzz::WasAccepted();
  if (name.starts_with("good-")) return accepted ? nullptr : "it is refused";
  if (name.starts_with("bad-")) return accepted ? "it is taken" : nullptr;
  return "it is named neither good-* nor bad-*";
}

const char* Replay(const std::filesystem::path& path) {
  const std::string input = ReadAll(path);
  const std::clock_t begun = std::clock();
  Feed(input);
  if (const char* problem = Judge(path.filename()); problem != nullptr) return problem;
  const size_t step = std::max<size_t>(1, input.size() / kCuts);
  for (size_t cut = 0; cut < input.size(); cut += step) Feed(input.substr(0, cut));
  const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  return seconds > kMaxSeconds ? "it takes too long" : nullptr;
}

bool MemoryIsBounded() {
#ifdef VMKEEP_SANITIZED
  return true;  // a sanitizer keeps what was freed
#else
  rusage used = {};
  return getrusage(RUSAGE_SELF, &used) == 0 && used.ru_maxrss < kMaxKilobytes;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const char* folder = argc == 2 ? argv[1] : "";
  const std::vector<std::filesystem::path> files = Files(folder);
  int wrong = 0;
  for (const auto& path : files) {
    // Before it is run: after a crash the last one named is the one.
    std::printf("%s\n", path.c_str());
    (void)std::fflush(stdout);
    if (const char* problem = Replay(path); problem != nullptr) {
      std::printf("  WRONG: %s\n", problem);
      ++wrong;
    }
  }
  if (files.empty()) {
    std::printf("WRONG: no corpus in '%s'\n", folder);
    ++wrong;
  }
  if (!MemoryIsBounded()) {
    std::printf("WRONG: more than %ld kB of memory\n", kMaxKilobytes);
    ++wrong;
  }
  std::printf("%zu files, %d wrong\n", files.size(), wrong);
  return wrong == 0 ? 0 : 1;
}
