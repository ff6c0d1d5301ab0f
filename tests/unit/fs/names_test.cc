#include "common/fs/names.h"

#include <gtest/gtest.h>

namespace vmkeep::fs {
namespace {

TEST(NamesTest, PlainOnWindows) {
  for (const char* name :
       {"a", ".vmkeep-repository", ".export", "it's; $(calc) \xc3\xa9", "com10", "console.txt",
        "nul2", "lpt", "com", "a.b.c", " leading", "auxiliary", "disk-scsi0x1.vhdx.sha256"}) {
    EXPECT_TRUE(IsPlainWindowsName(name)) << name;
  }
  for (const char* name :
       {"",       ".",    "..",        "...",         "a.",          "a ",      "a. ",
        "a\\b",   "a/b",  "c:",        "file:stream", "a*",          "a?",      "a\"b",
        "a<b",    "a|b",  "tab\tname", "con",         "NUL",         "nul.txt", "Aux.vhdx",
        "nul .x", "COM1", "lpt9.log",  "com0",        "COM\xc2\xb9", "CONIN$",  "half \xed\xa0\x80",
        "\xff"}) {
    EXPECT_FALSE(IsPlainWindowsName(name)) << name;
  }
}

TEST(NamesTest, PlainOnPosix) {
  for (const char* name : {"a", "a.", "a\\b", "nul", "c:", "\xff"})
    EXPECT_TRUE(IsPlainPosixName(name)) << name;
  for (const char* name : {"", ".", "..", "a/b", "/"}) EXPECT_FALSE(IsPlainPosixName(name)) << name;
}

TEST(NamesTest, AbsoluteOnWindows) {
  for (const char* path :
       {"P:\\", "P:/", "c:\\x", "\\\\nas\\backup", "//nas/backup", "\\\\?\\Volume{1}\\"}) {
    EXPECT_TRUE(IsAbsoluteOnWindows(path)) << path;
  }
  for (const char* path : {"", "P:", "P:x", "\\x", "/x", "x", "\\\\", "\\\\\\x", "1:\\"})
    EXPECT_FALSE(IsAbsoluteOnWindows(path)) << path;
}

TEST(NamesTest, JoinedOnWindows) {
  EXPECT_EQ(JoinOnWindows("P:\\", "vmkeep/.incoming"), "P:\\vmkeep\\.incoming");
  EXPECT_EQ(JoinOnWindows("P:/", "x"), "P:/x");
  EXPECT_EQ(JoinOnWindows("\\\\nas\\backup", "a/b"), "\\\\nas\\backup\\a\\b");
}

TEST(NamesTest, RootsOfMounts) {
  EXPECT_TRUE(IsRootOfMount("\\\\?\\P:\\", 'C'));
  EXPECT_TRUE(IsRootOfMount("\\\\?\\UNC\\nas\\backup", 'C'));
  EXPECT_TRUE(IsRootOfMount("\\\\?\\UNC\\nas\\backup\\", 'C'));
  EXPECT_FALSE(IsRootOfMount("\\\\?\\C:\\", 'c'));
  EXPECT_FALSE(IsRootOfMount("\\\\?\\P:\\x", 'C'));
  EXPECT_FALSE(IsRootOfMount("\\\\?\\UNC\\nas\\backup\\x", 'C'));
  EXPECT_FALSE(IsRootOfMount("\\\\?\\UNC\\nas", 'C'));
  EXPECT_FALSE(IsRootOfMount("P:\\", 'C'));
}

}  // namespace
}  // namespace vmkeep::fs
