#ifndef VMKEEP_COMMON_VERSION_H_
#define VMKEEP_COMMON_VERSION_H_

namespace vmkeep {

// The product's version, from CMakeLists.txt.
inline constexpr char kVersion[] = VMKEEP_VERSION;

// Versions of the protocol between controller and executor that this build speaks.
inline constexpr int kProtocolMin = 1;
inline constexpr int kProtocolMax = 1;

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_VERSION_H_
