#ifndef VMKEEP_COMMON_RANDOM_BYTES_H_
#define VMKEEP_COMMON_RANDOM_BYTES_H_

#include <cstddef>
#include <span>

namespace vmkeep {

// Fills `bytes`, at most 256, from the system's generator. A system that has none ends the process:
// nothing made on it could be unique.
void FillRandom(std::span<std::byte> bytes);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_RANDOM_BYTES_H_
