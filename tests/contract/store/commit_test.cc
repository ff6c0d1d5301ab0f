#include "tests/contract/store/store_contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <string>
#include <vector>

namespace vmkeep::controller::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;
using vmkeep::test::FakeClock;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;
using vmkeep::test::StatusIs;

TEST_P(StoreContract, RevisionIsThatOfTheLastCommit) {
  EXPECT_EQ(View([](StoreView& view) { return absl::StatusOr<int64_t>(view.revision()); }).value(),
            0);
  Put(MakeRecord(1));
  Put(MakeRecord(2));
  Reopen();
  EXPECT_EQ(View([](StoreView& view) { return absl::StatusOr<int64_t>(view.revision()); }).value(),
            2);
  EXPECT_EQ(Put(MakeRecord(3)).revision, 3);
}

TEST_P(StoreContract, AFailedMutationIsUndoneAlone) {
  // All three wait behind the first, so that a store that groups them has to undo one of a group.
  std::promise<void> gate;
  std::shared_future<void> opened = gate.get_future().share();
  store_->Commit([opened](StoreTransaction&) { return opened.wait(), Records(); },
                 [](const auto&) {});
  std::vector<std::future<absl::Status>> answers;
  const auto commit = [&](BackupStore::Mutation mutation) {
    auto answer = std::make_shared<std::promise<absl::Status>>();
    answers.push_back(answer->get_future());
    store_->Commit(std::move(mutation),
                   [answer](const auto& result) { answer->set_value(result.status()); });
  };
  commit(Putting({MakeRecord(1)}));
  commit([](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    EXPECT_THAT(transaction.Get("local", Uuid(1)),
                IsOkAndHolds(testing::Ne(std::nullopt)));  // what came before
    EXPECT_THAT(transaction.Put(MakeRecord(2)), IsOk());
    BackupRecord changed = MakeRecord(1);
    changed.name = "changed";
    EXPECT_THAT(transaction.Put(changed), IsOk());
    EXPECT_THAT(transaction.PutHost(MakeHost("kvm-9")), IsOk());
    return absl::AbortedError("thought better of it");
  });
  commit(Putting({MakeRecord(3)}));
  gate.set_value();
  EXPECT_THAT(answers[0].get(), IsOk());
  EXPECT_THAT(answers[1].get(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(answers[2].get(), IsOk());
  EXPECT_THAT(View([](StoreView& view) { return view.ChangedSince("local", 0, 10); }),
              IsOkAndHolds(ElementsAre(AllOf(testing::Field(&BackupRecord::id, Uuid(1)),
                                             testing::Field(&BackupRecord::name, "backup 1"),
                                             testing::Field(&BackupRecord::revision, 1)),
                                       AllOf(testing::Field(&BackupRecord::id, Uuid(3)),
                                             testing::Field(&BackupRecord::revision, 2)))));
  EXPECT_THAT(View([](StoreView& view) { return view.ListHosts(); }), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContract, AMutationThatThrowsIsUndoneToo) {
  EXPECT_THAT(CommitAndWait(*store_,
                            [](StoreTransaction& transaction) -> absl::StatusOr<Records> {
                              EXPECT_THAT(transaction.Put(MakeRecord(1)), IsOk());
                              throw std::runtime_error("a defect");
                            }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(Get(Uuid(1)), std::nullopt);
}

TEST_P(StoreContract, TheObserverHearsFirstAndInOrder) {
  std::vector<std::string> heard;  // on the store's thread alone, until the last commit is answered
  store_->SetObserver([&](const Records& records) {
    for (const BackupRecord& record : records)
      heard.push_back(absl::StrCat("saw ", record.revision));
  });
  for (int i = 1; i <= 3; ++i) {
    store_->Commit(Putting({MakeRecord(i)}),
                   [&heard, i](const auto&) { heard.push_back(absl::StrCat("done ", i)); });
  }
  store_->Commit([](StoreTransaction&) { return Records(); },
                 [&](const auto&) { heard.push_back("nothing changed"); });
  // Twice the same record in one mutation is one change; what is answered does not matter.
  EXPECT_THAT(CommitAndWait(*store_,
                            [](StoreTransaction& transaction) -> absl::StatusOr<Records> {
                              EXPECT_THAT(transaction.Put(MakeRecord(2)), IsOk());
                              EXPECT_THAT(transaction.Put(MakeRecord(1)), IsOk());
                              EXPECT_THAT(transaction.Put(MakeRecord(2)), IsOk());
                              return Records();
                            }),
              IsOk());
  EXPECT_THAT(heard, ElementsAre("saw 1", "done 1", "saw 2", "done 2", "saw 3", "done 3",
                                 "nothing changed", "saw 5", "saw 6"));
}

TEST_P(StoreContract, ReadSeesWhatWasCommittedBefore) {
  for (int i = 1; i <= 50; ++i) {
    const int64_t revision = Put(MakeRecord(i)).revision;
    EXPECT_GE(
        View([](StoreView& view) { return absl::StatusOr<int64_t>(view.revision()); }).value(),
        revision);
    ASSERT_TRUE(Get(Uuid(i)).has_value());
  }
}

TEST_P(StoreContract, EndingFinishesWhatWasAskedFor) {
  std::atomic<int> answered = 0;
  for (int i = 1; i <= 20; ++i) {
    store_->Commit(Putting({MakeRecord(i)}),
                   [&](const auto& result) { answered += result.ok() ? 1 : 0; });
    store_->Read([&](const absl::StatusOr<StoreView*>& view) { answered += view.ok() ? 1 : 0; });
  }
  store_.reset();
  EXPECT_EQ(answered, 40);
}

TEST_P(StoreContract, KeepsItsIdentity) {
  const std::string id = store_->controller_id();
  EXPECT_TRUE(IsUuid(id));
  Reopen();
  EXPECT_EQ(store_->controller_id(), id);
}

TEST_P(StoreContract, KeepsASecondControllerOff) {
  EXPECT_THAT(GetParam().open(folder_.path(), clock_),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition,
                             testing::HasSubstr(absl::StrCat(getpid()))),
                    HasReason("STORE_LOCKED")));
  EXPECT_THAT(PutNow(*store_, MakeRecord(1)), IsOk());  // and does the first no harm
}

}  // namespace
}  // namespace vmkeep::controller::test
