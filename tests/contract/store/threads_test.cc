#include "tests/contract/store/store_contract.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

// Many threads at once; nothing fails here, so that it can run under ThreadSanitizer (see
// CMakeLists.txt).
namespace vmkeep::controller::test {
namespace {

using vmkeep::test::IsOk;

class StoreThreads : public StoreContract {};

TEST_P(StoreThreads, CommitsAndReadsFromEverywhere) {
  constexpr int kWriters = 4;
  constexpr int kEach = 60;
  constexpr int kShared = 999;  // one record that all of them change
  std::vector<int64_t> observed;
  store_->SetObserver([&](const std::vector<BackupRecord>& records) {
    for (const BackupRecord& record : records) observed.push_back(record.revision);
  });
  ASSERT_THAT(PutNow(*store_, MakeRecord(kShared)), IsOk());

  // Adds its own record and counts one up in the shared one: lost updates would show.
  const auto count_up = [](int number) {
    return [number](StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
      VMKEEP_ASSIGN_OR_RETURN(std::optional<BackupRecord> shared,
                              transaction.Get("local", Uuid(kShared)));
      ++shared->epoch;
      VMKEEP_RETURN_IF_ERROR(transaction.Put(*shared).status());
      VMKEEP_ASSIGN_OR_RETURN(BackupRecord own, transaction.Put(MakeRecord(number)));
      return std::vector<BackupRecord>{std::move(own)};
    };
  };
  std::atomic<int> answered = 0;
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  threads.reserve(kWriters);
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      for (int i = 0; i < kEach; ++i) {
        store_->Commit(count_up(1000 * (writer + 1) + i),
                       [&](const auto& result) { answered += result.ok() ? 1 : 0; });
      }
    });
  }
  std::thread reader([&] {
    int64_t last = 0;
    while (!done) {
      EXPECT_THAT(ReadAndWait(*store_,
                              [&](StoreView& view) -> absl::Status {
                                EXPECT_GE(view.revision(), last);
                                last = view.revision();
                                VMKEEP_ASSIGN_OR_RETURN(const auto records,
                                                        view.ChangedSince("local", 0, 10'000));
                                // One consistent state: as many records as the shared one was
                                // counted up, and itself.
                                int64_t counted = -1;
                                for (const BackupRecord& record : records) {
                                  if (record.id == Uuid(kShared)) counted = record.epoch;
                                }
                                EXPECT_EQ(static_cast<int64_t>(records.size()), counted + 1);
                                return absl::OkStatus();
                              }),
                  IsOk());
    }
  });
  for (std::thread& thread : threads) thread.join();
  ASSERT_THAT(CommitAndWait(*store_, Putting({})), IsOk());
  done = true;
  reader.join();

  EXPECT_EQ(answered, kWriters * kEach);
  EXPECT_EQ(Get(Uuid(kShared))->epoch, kWriters * kEach);
  // The first commit, then two changes in each of the others, in the order of their revisions
  // without a hole.
  ASSERT_EQ(observed.size(), static_cast<size_t>(1 + 2 * kWriters * kEach));
  for (size_t i = 0; i < observed.size(); ++i) EXPECT_EQ(observed[i], static_cast<int64_t>(i + 1));
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreThreads, testing::Values(SqliteKind(), MemoryKind()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vmkeep::controller::test
