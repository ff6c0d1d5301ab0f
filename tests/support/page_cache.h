#ifndef VMKEEP_TESTS_SUPPORT_PAGE_CACHE_H_
#define VMKEEP_TESTS_SUPPORT_PAGE_CACHE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vmkeep::test {

// What of a file lies in the page cache. The file is not empty.
inline int64_t CachedBytes(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto bytes = static_cast<size_t>(std::filesystem::file_size(path));
  void* at = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  EXPECT_EQ(mincore(at, bytes, pages.data()), 0);
  munmap(at, bytes);
  close(fd);
  int64_t cached = 0;
  for (const unsigned char one : pages) cached += (one & 1) * static_cast<int64_t>(page);
  return cached;
}

// Drops a flushed file from the page cache. False where more than 1 MiB stays, as on a tmpfs: such
// a file system is the cache.
inline bool DropFromCache(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  close(fd);
  return CachedBytes(path) <= 1 << 20;
}

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_SUPPORT_PAGE_CACHE_H_
