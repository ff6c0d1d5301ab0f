#include "common/random_bytes.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace vmkeep {

void FillRandom(std::span<std::byte> bytes) {
  // Up to 256 bytes are never cut short once the pool is ready; only a signal before that can
  // interrupt.
  while (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    if (errno != EINTR) std::abort();
  }
}

}  // namespace vmkeep
