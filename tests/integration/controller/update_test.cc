#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"

#include <string>
#include <vector>

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// What an update names, what it does not, and in which order a list comes.
class UpdateTest : public ControllerTest {
 protected:
  UpdateTest() { AddHost("kvm-1", {"web-1", "web-2"}); }

  pb::Backup Running(const std::string& name, const std::string& vm = "web-1") {
    const auto created =
        Create(vm, name, [](auto& request) { (*request.mutable_labels())["tier"] = "gold"; });
    EXPECT_THAT(created, IsOk());
    return AwaitState(created->id(), pb::Backup::RUNNING);
  }
  static pb::UpdateBackupRequest Masked(const std::string& id,
                                        const std::vector<std::string>& paths) {
    pb::UpdateBackupRequest request;
    request.set_id(id);
    for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
    return request;
  }
  std::vector<std::string> Ids(const std::string& order_by) {
    pb::ListBackupsRequest request;
    request.set_order_by(order_by);
    std::vector<std::string> ids;
    const auto page = List(request);
    EXPECT_THAT(page, IsOk());
    if (!page.ok()) return ids;
    for (const pb::Backup& backup : page->backups()) ids.push_back(backup.id());
    return ids;
  }
};

TEST_F(UpdateTest, AMaskChangesWhatItNamesAndNothingElse) {
  const pb::Backup before = Running("nightly");
  pb::UpdateBackupRequest request = Masked(before.id(), {"labels"});
  request.set_name("not meant");
  request.set_state(pb::Backup::SCRUB);
  (*request.mutable_labels())["a"] = "b";
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup labelled, Update(request));
  EXPECT_THAT(labelled, InState(pb::Backup::RUNNING));
  EXPECT_EQ(labelled.name(), "nightly");
  EXPECT_THAT(labelled.labels(), UnorderedElementsAre(Pair("a", "b")));

  request = Masked(before.id(), {"name"});
  request.set_name("weekly");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup named, Update(request));
  EXPECT_EQ(named.name(), "weekly");
  EXPECT_THAT(named.labels(), UnorderedElementsAre(Pair("a", "b")));
  // Named and empty: all labels go. Without a mask, no labels mean "as they are".
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup bare, Update(Masked(before.id(), {"labels"})));
  EXPECT_THAT(bare.labels(), IsEmpty());
}

TEST_F(UpdateTest, WithoutAMaskWhatIsPresentIsChanged) {
  const pb::Backup before = Running("nightly");
  pb::UpdateBackupRequest request;
  request.set_id(before.id());
  request.set_name("weekly");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup named, Update(request));
  EXPECT_EQ(named.name(), "weekly");
  EXPECT_THAT(named.labels(), UnorderedElementsAre(Pair("tier", "gold")));
  EXPECT_THAT(named, InState(pb::Backup::RUNNING));
}

TEST_F(UpdateTest, AMaskThatMakesNoSenseChangesNothing) {
  const pb::Backup before = Running("nightly");
  pb::UpdateBackupRequest request = Masked(before.id(), {"name", "epoch"});
  request.set_name("weekly");
  EXPECT_THAT(Update(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("epoch")));
  EXPECT_THAT(Update(Masked(before.id(), {"state"})), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Update(Masked(before.id(), {"name"})), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Update(Masked(before.id(), {})), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Get(before.id())->etag(), before.etag());
}

TEST_F(UpdateTest, AScrubWithAnOldEtagIsRefusedAndDeletesNothing) {
  const pb::Backup before = Running("nightly");
  pb::UpdateBackupRequest request;
  request.set_id(before.id());
  (*request.mutable_labels())["hold"] = "legal";
  EXPECT_THAT(Update(request), IsOk());  // by somebody else
  pb::UpdateBackupRequest scrub;
  scrub.set_id(before.id());
  scrub.set_state(pb::Backup::SCRUB);
  scrub.set_etag(before.etag());
  EXPECT_THAT(Update(scrub),
              AllOf(StatusIs(absl::StatusCode::kAborted), HasReason("ETAG_MISMATCH")));
  EXPECT_THAT(*Get(before.id()), InState(pb::Backup::RUNNING));
  EXPECT_EQ(host("kvm-1").accepted(), 1);
}

TEST_F(UpdateTest, AListComesInTheOrderThatWasAskedFor) {
  std::vector<std::string> made;
  for (int i = 0; i < 3; ++i) made.push_back(Running(absl::StrCat("n", i)).id());
  const std::vector<std::string> newest_first(made.rbegin(), made.rend());
  EXPECT_EQ(Ids(""), newest_first);
  EXPECT_EQ(Ids("create_time desc"), newest_first);
  EXPECT_EQ(Ids("create_time"), made);
  pb::ListBackupsRequest request;
  request.set_order_by("name");
  EXPECT_THAT(List(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("create_time")));
}

// Neither the name, nor the request_id, nor a change that a watch would tell.
TEST_F(UpdateTest, AValidatedRequestLeavesNothingBehind) {
  const pb::Backup before = Running("nightly", "web-2");
  const auto with = [](bool only) {
    return [only](pb::CreateBackupRequest& request) {
      request.set_request_id("job-1");
      request.set_validate_only(only);
    };
  };
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup would_be, Create("web-1", "nightly", with(true)));
  EXPECT_EQ(would_be.id(), "");
  EXPECT_EQ(would_be.etag(), "");
  EXPECT_THAT(Ids(""), ElementsAre(before.id()));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup made, Create("web-1", "nightly", with(false)));
  EXPECT_NE(made.id(), "");
  EXPECT_EQ(std::stoll(made.etag()), std::stoll(before.etag()) + 1) << "nothing was stored between";
  // A repeat that only validates answers the record that is there.
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup repeat, Create("web-1", "nightly", with(true)));
  EXPECT_EQ(repeat.id(), made.id());
}

}  // namespace
}  // namespace vmkeep::test
