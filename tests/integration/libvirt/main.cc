#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

// Only inside of tools/lab/with-libvirt, which sets LAB_DIR: qemu:///system is the machine's own
// libvirt elsewhere.
int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  if (std::getenv("LAB_DIR") == nullptr) {
    std::fputs("skipped: run me by tools/lab/with-libvirt\n", stderr);
    return kSkipped;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
