#ifndef VMKEEP_TESTS_SUPPORT_QEMU_IMAGES_H_
#define VMKEEP_TESTS_SUPPORT_QEMU_IMAGES_H_

#include "common/process/process.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

// Disk images made and read by QEMU's own tools (package qemu-utils), not by any code of ours.
namespace vmkeep::test {

// Runs a tool to its end; a failure is the test's.
inline void RunQemu(const std::vector<std::string>& argv) {
  const auto done = process::RunToEnd(argv, absl::Minutes(1));
  EXPECT_TRUE(done.ok() && done->exit_status.ok())
      << argv[0] << ": " << (done.ok() ? done->out + done->err : done.status().ToString());
}

// A qcow2 image that stands on `base`.
inline void CreateOn(const std::string& base, const std::string& base_format,
                     const std::string& path) {
  RunQemu({"qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, path});
}

// A qcow2 image whose data goes into a second file.
inline void CreateWithDataFile(const std::string& path, const std::string& data_file,
                               const std::string& size) {
  RunQemu({"qemu-img", "create", "-q", "-f", "qcow2", "-o",
           absl::StrCat("data_file=", absl::StrReplaceAll(data_file, {{",", ",,"}})), path, size});
}

// One command of qemu-io, such as "write -P 7 64k 4k".
inline void QemuIo(const std::string& path, const std::string& format, const std::string& command) {
  RunQemu({"qemu-io", "-f", format, "-c", command, path});
}

// `bytes` bytes at `offset`, of the file `pattern`, repeated.
inline void WritePattern(const std::string& path, const std::string& format,
                         const std::string& pattern, int64_t offset, int64_t bytes) {
  QemuIo(path, format, absl::StrCat("write -s ", pattern, " ", offset, " ", bytes));
}

// What a guest sees on the disk, as QEMU flattens it.
inline void Flatten(const std::string& top, const std::string& into) {
  RunQemu({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", top, into});
}

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_SUPPORT_QEMU_IMAGES_H_
