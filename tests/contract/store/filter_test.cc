#include "tests/contract/store/store_contract.h"

#include "absl/strings/ascii.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

// A filter decides in two places: in the store's own language, and in memory for a watch (Matches).
// Random records and random filters, made of few values so that they meet, must be decided alike.
//
// Seen red with created_before, the case of UUIDs and CLOSED broken in SQL, and with labels broken
// in Matches.
namespace vmkeep::controller::test {
namespace {

class FilterContract : public StoreContract {
 protected:
  int Roll(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool Maybe() { return Roll(3) == 0; }
  // "A" in either case, with a quote, a wildcard or nothing in it.
  std::string Word() { return std::vector<std::string>{"a", "A", "it's", "%", "", "b"}[Roll(6)]; }

  BackupRecord RandomRecord(int number) {
    BackupRecord record = MakeRecord(number);
    record.vm_uuid =
        Roll(2) == 0 ? Uuid(Roll(3)) : absl::StrCat("uuid-of-", absl::AsciiStrToLower(Word()));
    record.vm_id = Roll(2) == 0 ? record.vm_uuid : Word();
    record.vm_name = Word();
    record.name = absl::StrCat(number);
    record.state = kAllStates[2 + Roll(5)];  // not the two of which a VM has one
    record.host_id = Word();
    record.repository = Roll(3);
    record.repository_id = Word();
    record.create_time = At(Roll(10)) + absl::Nanoseconds(Roll(2));
    for (int i = Roll(3); i > 0; --i) record.labels[Word()] = Word();
    return record;
  }

  template <typename Make>
  auto Some(Make make) {
    std::vector<decltype(make())> values;
    for (int i = Maybe() ? 1 + Roll(3) : 0; i > 0; --i) values.push_back(make());
    return values;
  }

  BackupFilter RandomFilter() {
    BackupFilter filter;
    filter.ids = Some([&] { return Uuid(Roll(100)); });
    filter.vms = Some([&] { return Roll(2) == 0 ? absl::AsciiStrToUpper(Uuid(Roll(3))) : Word(); });
    if (Roll(4) == 0) filter.vms.emplace_back("UUID-OF-A");
    filter.host_ids = Some([&] { return Word(); });
    filter.states = Some([&] { return kAllStates[Roll(7)]; });
    filter.repositories = Some([&] { return Roll(3); });
    filter.repository_ids = Some([&] { return Word(); });
    if (Maybe()) filter.created_after = At(Roll(10)) + absl::Nanoseconds(Roll(2));
    if (Maybe()) filter.created_before = At(Roll(10)) + absl::Nanoseconds(Roll(2));
    if (Maybe()) filter.labels[Word()] = Word();
    filter.show_closed = Roll(2) == 0;
    return filter;
  }

  std::mt19937_64 random_{20'240'711};
};

TEST_P(FilterContract, TheStoreAndTheWatchDecideAlike) {
  std::vector<BackupRecord> records;
  records.reserve(100);
  for (int i = 0; i < 100; ++i) records.push_back(RandomRecord(i));
  ASSERT_THAT(CommitAndWait(*store_, Putting(records)), vmkeep::test::IsOk());

  int matched = 0;
  int filters_that_match = 0;
  for (int i = 0; i < 3000; ++i) {
    BackupQuery query = LocalQuery();
    query.filter = RandomFilter();
    query.limit = 1000;
    std::vector<BackupId> expected;
    for (const BackupRecord& record : records) {
      if (Matches(query.filter, record)) expected.push_back(record.id);
    }
    std::vector<BackupId> actual = List(query);
    std::sort(actual.begin(), actual.end());
    ASSERT_EQ(actual, expected) << "filter " << i;
    matched += static_cast<int>(expected.size());
    filters_that_match += expected.empty() ? 0 : 1;
  }
  // Else it compares nothing with nothing.
  EXPECT_GT(filters_that_match, 300);
  EXPECT_GT(matched, 3000);
}

INSTANTIATE_TEST_SUITE_P(Stores, FilterContract, testing::Values(SqliteKind(), MemoryKind()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vmkeep::controller::test
