#ifndef VMKEEP_TESTS_CONTRACT_STORE_STORE_CONTRACT_H_
#define VMKEEP_TESTS_CONTRACT_STORE_STORE_CONTRACT_H_

#include "controller/store/backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/contract/store/store_kinds.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {

using Records = std::vector<BackupRecord>;

inline std::vector<BackupId> Ids(const Records& records) {
  std::vector<BackupId> ids;
  for (const BackupRecord& record : records) ids.push_back(record.id);
  return ids;
}

// Every store, each in a folder of its own.
class StoreContract : public testing::TestWithParam<StoreKind> {
 protected:
  StoreContract() { Reopen(); }

  void Reopen() {
    store_.reset();
    auto store = GetParam().open(folder_.path(), clock_);
    ASSERT_THAT(store, vmkeep::test::IsOk());
    store_ = *std::move(store);
  }
  BackupRecord Put(const BackupRecord& record) {
    absl::StatusOr<BackupRecord> stored = PutNow(*store_, record);
    EXPECT_THAT(stored, vmkeep::test::IsOk());
    return stored.value_or(BackupRecord());
  }
  // What `ask` answers on a view.
  template <typename Ask>
  auto View(Ask ask) {
    decltype(ask(std::declval<StoreView&>())) answer = absl::UnknownError("not asked");
    EXPECT_THAT(ReadAndWait(*store_,
                            [&](StoreView& view) {
                              answer = ask(view);
                              return absl::OkStatus();
                            }),
                vmkeep::test::IsOk());
    return answer;
  }
  std::optional<BackupRecord> Get(const BackupId& id) {
    return View([&](StoreView& view) { return view.Get("local", id); }).value_or(std::nullopt);
  }
  std::vector<BackupId> List(const BackupQuery& query) {
    return Ids(View([&](StoreView& view) { return view.List(query); }).value_or(Records()));
  }

  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  std::unique_ptr<BackupStore> store_;
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_CONTRACT_STORE_STORE_CONTRACT_H_
