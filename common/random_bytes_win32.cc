#include "common/random_bytes.h"

#include <windows.h>
#include <bcrypt.h>

#include <cstdlib>

namespace vmkeep {

void FillRandom(std::span<std::byte> bytes) {
  const NTSTATUS status =
      BCryptGenRandom(nullptr, reinterpret_cast<PUCHAR>(bytes.data()),
                      static_cast<ULONG>(bytes.size()), BCRYPT_USE_SYSTEM_PREFERRED_RNG);
  if (status < 0) std::abort();
}

}  // namespace vmkeep
