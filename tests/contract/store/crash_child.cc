// Writes records into a store until it is killed, and says on stdout which of them are durable.
#include "common/clock.h"
#include "tests/contract/store/sample_records.h"
#include "tests/contract/store/store_kinds.h"

#include <unistd.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  using namespace vmkeep::controller;  // NOLINT: a program of a few lines
  if (argc != 2) return 2;
  auto store = test::SqliteKind().open(argv[1], vmkeep::RealClock());
  if (!store.ok()) return 3;
  for (int number = 1;; ++number) {
    (*store)->Commit(test::Putting({test::MakeRecord(number)}), [number](const auto& result) {
      if (!result.ok()) _exit(4);
      const std::string line = absl::StrCat(number, "\n");
      if (write(STDOUT_FILENO, line.data(), line.size()) < 0) _exit(5);
    });
    // A few at a time are under way, so that the kill meets groups too.
    if (number % 8 == 0) {
      if (!CommitAndWait(**store, test::Putting({})).ok()) return 6;
    }
  }
}
