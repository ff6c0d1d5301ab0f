#include "controller/service/validate.h"

#include "common/error.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::v1;
using test::IsOk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kId[] = "01890a5d-ac96-774b-bcce-b302099a8057";

// The fields that the answer names as wrong.
std::vector<std::string> WrongFields(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  google::rpc::BadRequest bad;
  if (payload && bad.ParseFromString(std::string(*payload))) {
    for (const auto& violation : bad.field_violations()) {
      fields.push_back(violation.field());
      EXPECT_FALSE(violation.description().empty());
      EXPECT_TRUE(absl::StrContains(status.message(), violation.field())) << status.message();
    }
  }
  return fields;
}
template <typename Request>
std::vector<std::string> WrongFieldsOf(const Request& request) {
  const auto result = Validate(request);
  if (result.ok()) return {};
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(result.status()), "INVALID_ARGUMENT");
  return WrongFields(result.status());
}

template <typename Request>
Request FromText(const std::string& text) {
  Request request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

pb::CreateBackupRequest GoodCreate() {
  return FromText<pb::CreateBackupRequest>(R"(vm_id: "web-1" name: "nightly" repository: 1)");
}

TEST(ValidateCreateTest, TheSimplestRequestIsFine) {
  const auto input = Validate(GoodCreate());
  ASSERT_THAT(input, IsOk());
  EXPECT_EQ(input->vm, "web-1");
  EXPECT_EQ(input->name, "nightly");
  EXPECT_EQ(input->repository, 1);
  EXPECT_EQ(input->quiesce, Quiesce::kIfAvailable);
}

struct Garbage {
  std::string name;
  std::function<void(pb::CreateBackupRequest&)> spoil;
  std::string field;
};

class ValidateCreateGarbageTest : public ::testing::TestWithParam<Garbage> {};

TEST_P(ValidateCreateGarbageTest, IsNamed) {
  pb::CreateBackupRequest request = GoodCreate();
  GetParam().spoil(request);
  EXPECT_THAT(WrongFieldsOf(request), ElementsAre(GetParam().field));
}

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, ValidateCreateGarbageTest,
    ::testing::Values(
        Garbage{"NoVm", [](auto& r) { r.clear_vm_id(); }, "vm_id"},
        Garbage{"LongVm", [](auto& r) { r.set_vm_id(std::string(257, 'x')); }, "vm_id"},
        Garbage{"ControlInVm", [](auto& r) { r.set_vm_id("web\n1"); }, "vm_id"},
        Garbage{"NoName", [](auto& r) { r.clear_name(); }, "name"},
        Garbage{"BlankName", [](auto& r) { r.set_name("  \xC2\xA0\xE3\x80\x80 "); }, "name"},
        Garbage{"LongName", [](auto& r) { r.set_name(std::string(129, 'x')); }, "name"},
        Garbage{"LongNameOfUmlauts", [](auto& r) { r.set_name(Repeat("\xC3\xA4", 129)); }, "name"},
        Garbage{"NulInName", [](auto& r) { r.set_name(std::string("a\0b", 3)); }, "name"},
        Garbage{"EscapeInName", [](auto& r) { r.set_name("a\x1B[31mb"); }, "name"},
        Garbage{"C1InName", [](auto& r) { r.set_name("a\xC2\x85"); }, "name"},
        Garbage{"LineSeparatorInName",
                [](auto& r) {
                  r.set_name(
                      "a\xE2\x80\xA8"
                      "b");
                },
                "name"},
        Garbage{"BadUtf8Name", [](auto& r) { r.set_name("a\xFF"); }, "name"},
        Garbage{"CutUtf8Name", [](auto& r) { r.set_name("a\xE2\x82"); }, "name"},
        Garbage{"OverlongUtf8Name", [](auto& r) { r.set_name("a\xC0\xAF"); }, "name"},
        Garbage{"SurrogateName", [](auto& r) { r.set_name("a\xED\xA0\x80"); }, "name"},
        Garbage{"BeyondUnicodeName", [](auto& r) { r.set_name("a\xF4\x90\x80\x80"); }, "name"},
        Garbage{"Repository3", [](auto& r) { r.set_repository(3); }, "repository"},
        Garbage{"RepositoryNegative", [](auto& r) { r.set_repository(-1); }, "repository"},
        Garbage{"LongRequestId", [](auto& r) { r.set_request_id(std::string(129, 'x')); },
                "request_id"},
        Garbage{"ControlInRequestId", [](auto& r) { r.set_request_id("\t"); }, "request_id"},
        Garbage{"UnknownQuiesce",
                [](auto& r) { r.set_quiesce(static_cast<pb::Backup::Quiesce>(9)); }, "quiesce"},
        Garbage{"ManyLabels",
                [](auto& r) {
                  for (int i = 0; i < 65; ++i) (*r.mutable_labels())[absl::StrCat("k", i)] = "v";
                },
                "labels"},
        Garbage{"EmptyLabelKey", [](auto& r) { (*r.mutable_labels())[""] = "v"; },
                "labels[\"\"].key"},
        Garbage{"LongLabelKey", [](auto& r) { (*r.mutable_labels())[std::string(64, 'k')] = "v"; },
                absl::StrCat("labels[\"", std::string(64, 'k'), "\"].key")},
        Garbage{"LongLabelValue",
                [](auto& r) { (*r.mutable_labels())["k"] = std::string(256, 'v'); },
                "labels[\"k\"]"}),
    [](const auto& info) { return info.param.name; });

TEST(ValidateCreateTest, LimitsThemselvesAreAccepted) {
  pb::CreateBackupRequest request = GoodCreate();
  request.set_name(Repeat("\xF0\x9F\x90\xA7", 128));  // 128 penguins, 512 bytes
  request.set_request_id(std::string(128, 'x'));
  request.set_repository(0);
  for (int i = 0; i < 64; ++i)
    (*request.mutable_labels())[absl::StrCat("k", i)] = std::string(255, 'v');
  EXPECT_THAT(WrongFieldsOf(request), SizeIs(0));
  request.set_name("../../etc/passwd");  // it never becomes a path
  EXPECT_THAT(WrongFieldsOf(request), SizeIs(0));
}

// Red when the first problem ends the check.
TEST(ValidateCreateTest, AllProblemsAreInOneAnswer) {
  pb::CreateBackupRequest request;
  request.set_repository(7);
  request.set_request_id(std::string(200, 'x'));
  request.set_quiesce(static_cast<pb::Backup::Quiesce>(77));
  EXPECT_THAT(WrongFieldsOf(request),
              UnorderedElementsAre("vm_id", "name", "repository", "request_id", "quiesce"));
}

TEST(ValidateCreateTest, TheAnswerStaysSmallHoweverMuchIsWrong) {
  pb::CreateBackupRequest request = GoodCreate();
  for (int i = 0; i < 60; ++i)
    (*request.mutable_labels())[absl::StrCat("k", i)] = std::string(300, 'v');
  EXPECT_LE(WrongFieldsOf(request).size(), 16U);
}

TEST(ValidateCreateTest, TheDigestIsOfWhatIsAskedFor) {
  const auto digest = [](const std::function<void(pb::CreateBackupRequest&)>& change) {
    pb::CreateBackupRequest request = GoodCreate();
    change(request);
    return Validate(request)->request_digest;
  };
  const std::string plain = digest([](auto&) {});
  EXPECT_THAT(plain, SizeIs(64));
  EXPECT_EQ(plain, digest([](auto& r) { r.set_request_id("x"); }));
  EXPECT_EQ(plain, digest([](auto& r) { r.set_validate_only(true); }));
  EXPECT_EQ(plain, digest([](auto& r) { r.set_quiesce(pb::Backup::IF_AVAILABLE); }));
  EXPECT_NE(plain, digest([](auto& r) { r.set_quiesce(pb::Backup::NEVER); }));
  EXPECT_NE(plain, digest([](auto& r) { r.set_name("other"); }));
  EXPECT_NE(plain, digest([](auto& r) { r.set_repository(2); }));
  EXPECT_NE(plain, digest([](auto& r) { r.set_vm_id("web-2"); }));
  const auto labels = [](int first, int step) {
    return [=](pb::CreateBackupRequest& r) {
      for (int i = 0; i < 20; ++i)
        (*r.mutable_labels())[absl::StrCat("k", (first + i * step + 200) % 20)] = "v";
    };
  };
  EXPECT_EQ(digest(labels(0, 1)), digest(labels(19, -1))) << "a map has no order";
}

// Update.

pb::UpdateBackupRequest Update(const std::string& text) {
  return FromText<pb::UpdateBackupRequest>(absl::StrCat("id: \"", kId, "\" ", text));
}

TEST(ValidateUpdateTest, ScrubByIdAndState) {
  const auto input = Validate(Update("state: SCRUB"));
  ASSERT_THAT(input, IsOk());
  EXPECT_TRUE(input->scrub);
  EXPECT_FALSE(input->name.has_value());
  EXPECT_FALSE(input->labels.has_value());
}

TEST(ValidateUpdateTest, WithoutAMaskTheFieldsPresentChange) {
  const auto input = Validate(Update(R"(name: "n" labels { key: "a" value: "b" })"));
  ASSERT_THAT(input, IsOk());
  EXPECT_FALSE(input->scrub);
  EXPECT_EQ(*input->name, "n");
  EXPECT_THAT(*input->labels, SizeIs(1));
}

TEST(ValidateUpdateTest, AMaskDecides) {
  const auto input = Validate(Update(R"(state: SCRUB name: "n" update_mask { paths: "labels" })"));
  ASSERT_THAT(input, IsOk());
  EXPECT_FALSE(input->scrub);
  EXPECT_FALSE(input->name.has_value());
  EXPECT_THAT(*input->labels, SizeIs(0)) << "named and empty: all labels go";
}

TEST(ValidateUpdateTest, AStateOfZeroMeansNotGiven) {
  const auto input = Validate(Update(R"(state: STATE_UNSPECIFIED name: "n")"));
  ASSERT_THAT(input, IsOk());
  EXPECT_FALSE(input->scrub);
}

TEST(ValidateUpdateTest, Garbage) {
  EXPECT_THAT(WrongFieldsOf(pb::UpdateBackupRequest()), Contains("id"));
  EXPECT_THAT(WrongFieldsOf(FromText<pb::UpdateBackupRequest>(R"(id: "../x" state: SCRUB)")),
              ElementsAre("id"));
  EXPECT_THAT(WrongFieldsOf(Update("")), ElementsAre("update_mask"));
  EXPECT_THAT(WrongFieldsOf(Update("update_mask { }")), ElementsAre("update_mask"));
  for (const char* state :
       {"REQUESTED", "BUILDING", "UNRESOURCED", "RUNNING", "SCRUBBING", "CLOSED"}) {
    EXPECT_THAT(WrongFieldsOf(Update(absl::StrCat("state: ", state))), ElementsAre("state"))
        << state;
  }
  auto unknown = Update("");
  unknown.set_state(static_cast<pb::Backup::State>(5));
  EXPECT_THAT(WrongFieldsOf(unknown), ElementsAre("state"));
  EXPECT_THAT(WrongFieldsOf(Update(R"(update_mask { paths: "state" })")), ElementsAre("state"));
  EXPECT_THAT(WrongFieldsOf(Update(R"(update_mask { paths: "name" })")), ElementsAre("name"));
  EXPECT_THAT(WrongFieldsOf(Update(R"(name: "")")), ElementsAre("name"));
  EXPECT_THAT(WrongFieldsOf(Update(
                  R"(state: SCRUB update_mask { paths: "state" paths: "host_id" paths: "*" })")),
              ElementsAre("update_mask", "update_mask"));
}

// List and watch.

TEST(ValidateListTest, PageSizes) {
  const auto size = [](int page_size) {
    pb::ListBackupsRequest request;
    request.set_page_size(page_size);
    return Validate(request)->page_size;
  };
  EXPECT_EQ(size(0), 50);
  EXPECT_EQ(size(1), 1);
  EXPECT_EQ(size(1000), 1000);
  EXPECT_EQ(size(1001), 1000);
  EXPECT_EQ(size(INT32_MAX), 1000);
  EXPECT_THAT(WrongFieldsOf(FromText<pb::ListBackupsRequest>("page_size: -1")),
              ElementsAre("page_size"));
}

TEST(ValidateListTest, Orders) {
  EXPECT_FALSE(Validate(FromText<pb::ListBackupsRequest>(""))->oldest_first);
  EXPECT_FALSE(
      Validate(FromText<pb::ListBackupsRequest>(R"(order_by: "create_time desc")"))->oldest_first);
  EXPECT_TRUE(
      Validate(FromText<pb::ListBackupsRequest>(R"(order_by: "create_time")"))->oldest_first);
  for (const char* order :
       {"name", "create_time asc", "create_time  desc", "; DROP TABLE backup"}) {
    pb::ListBackupsRequest request;
    request.set_order_by(order);
    EXPECT_THAT(WrongFieldsOf(request), ElementsAre("order_by")) << order;
  }
}

TEST(ValidateListTest, TheDigestIsOfFilterAndOrderAlone) {
  const auto digest = [](const std::string& text) {
    return Validate(FromText<pb::ListBackupsRequest>(text))->query_digest;
  };
  EXPECT_EQ(digest("page_size: 3"), digest("page_size: 4"));
  EXPECT_NE(digest(""), digest(R"(order_by: "create_time")"));
  EXPECT_NE(digest(""), digest("filter { show_closed: true }"));
  EXPECT_NE(digest(R"(filter { vm_ids: "a" })"), digest(R"(filter { host_ids: "a" })"));
}

TEST(ValidateListTest, FilterGarbage) {
  const auto wrong = [](const std::string& filter) {
    return WrongFieldsOf(FromText<pb::ListBackupsRequest>(absl::StrCat("filter {", filter, "}")));
  };
  EXPECT_THAT(wrong(R"(ids: "nope")"), ElementsAre("filter.ids[0]"));
  EXPECT_THAT(wrong(R"(vm_ids: "" vm_ids: "ok")"), ElementsAre("filter.vm_ids[0]"));
  EXPECT_THAT(wrong(R"(host_ids: "UPPER")"), ElementsAre("filter.host_ids[0]"));
  EXPECT_THAT(wrong("repositories: 3"), ElementsAre("filter.repositories"));
  EXPECT_THAT(wrong("created_after { seconds: 1 nanos: -1 }"), ElementsAre("filter.created_after"));
  EXPECT_THAT(wrong("created_before { seconds: 999999999999 }"),
              ElementsAre("filter.created_before"));
  EXPECT_THAT(wrong(R"(labels { key: "" value: "" })"), ElementsAre("filter.labels[\"\"].key"));
  pb::ListBackupsRequest request;
  request.mutable_filter()->add_states(static_cast<pb::Backup::State>(5));
  EXPECT_THAT(WrongFieldsOf(request), ElementsAre("filter.states"));
  request.Clear();
  for (int i = 0; i < 1001; ++i) request.mutable_filter()->add_vm_ids("vm");
  EXPECT_THAT(WrongFieldsOf(request), ElementsAre("filter.vm_ids"));
}

TEST(ValidateListTest, FilterValues) {
  const auto input = Validate(FromText<pb::ListBackupsRequest>(absl::StrCat(
      R"(filter {
      ids: ")",
      kId,
      R"(" vm_ids: "web-1" host_ids: "kvm-1.lab" states: RUNNING states: STATE_UNSPECIFIED repositories: 2
      repository_ids: "r" created_after { seconds: 5 nanos: 7 } labels { key: "a" value: "b" } show_closed: true })")));
  ASSERT_THAT(input, IsOk());
  EXPECT_THAT(input->filter.ids, ElementsAre(kId));
  EXPECT_THAT(input->filter.states, ElementsAre(BackupState::kRunning));
  EXPECT_EQ(*input->filter.created_after, absl::FromUnixSeconds(5) + absl::Nanoseconds(7));
  EXPECT_FALSE(input->filter.created_before.has_value());
  EXPECT_TRUE(input->filter.show_closed);
}

TEST(ValidateWatchTest, SharesTheFilter) {
  EXPECT_THAT(WrongFieldsOf(FromText<pb::WatchBackupsRequest>("filter { repositories: 0 }")),
              ElementsAre("filter.repositories"));
  EXPECT_TRUE(Validate(FromText<pb::WatchBackupsRequest>("until_settled: true"))->until_settled);
}

// Inventory.

TEST(ValidateInventoryTest, HostIds) {
  for (const char* id : {"kvm-1", "a", "0.lab-2"}) {
    pb::GetHostRequest request;
    request.set_id(id);
    EXPECT_THAT(WrongFieldsOf(request), SizeIs(0)) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("KVM"), std::string("a b"), std::string("a/b"),
        std::string(64, 'a'), std::string("\xC3\xA4"), std::string("a\0b", 3)}) {
    pb::GetHostRequest request;
    request.set_id(id);
    EXPECT_THAT(WrongFieldsOf(request), ElementsAre("id")) << id;
  }
}

TEST(ValidateInventoryTest, Requests) {
  EXPECT_THAT(WrongFieldsOf(pb::RegisterHostRequest()), UnorderedElementsAre("id", "address"));
  EXPECT_THAT(WrongFieldsOf(pb::InitRepositoryRequest()), UnorderedElementsAre("host_id", "slot"));
  EXPECT_THAT(WrongFieldsOf(FromText<pb::InitRepositoryRequest>(R"(host_id: "h" slot: 3)")),
              ElementsAre("slot"));
  EXPECT_THAT(WrongFieldsOf(FromText<pb::ListHostsRequest>("page_size: -5")),
              ElementsAre("page_size"));
  EXPECT_THAT(WrongFieldsOf(FromText<pb::ListVmsRequest>(R"(page_size: -5 host_ids: "!")")),
              UnorderedElementsAre("page_size", "host_ids[0]"));
  EXPECT_THAT(WrongFieldsOf(FromText<pb::ListRepositoriesRequest>(R"(host_ids: "!")")),
              ElementsAre("host_ids[0]"));
}

}  // namespace
}  // namespace vmkeep::controller
