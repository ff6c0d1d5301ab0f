#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"
#include <grpcpp/client_context.h>

#include <set>
#include <thread>

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class WatchTest : public ControllerTest {
 protected:
  WatchTest() { AddHost("kvm-1", {"web-1", "web-2", "web-3"}); }

  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<pb::WatchBackupsResponse>> reader;
    std::string token;  // of the last response

    std::optional<pb::WatchBackupsResponse> Read() {
      pb::WatchBackupsResponse response;
      if (!reader->Read(&response)) return std::nullopt;
      if (!response.resume_token().empty()) token = response.resume_token();
      return response;
    }
    absl::Status Finish() { return FromGrpcStatus(reader->Finish()); }
  };
  std::unique_ptr<Stream> Watch(const pb::WatchBackupsRequest& request = {}) {
    auto stream = std::make_unique<Stream>();
    stream->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream->reader = backups_->WatchBackups(&stream->context, request);
    return stream;
  }
  static void ReadSnapshot(Stream& stream) {
    while (const auto response = stream.Read()) {
      if (response->snapshot_complete()) return;
    }
    FAIL() << "the snapshot never ended";
  }
  pb::Backup Running(const std::string& vm, const std::string& name) {
    const auto created = Create(vm, name);
    EXPECT_THAT(created, IsOk());
    return AwaitState(created->id(), pb::Backup::RUNNING);
  }
};

TEST_F(WatchTest, TheSnapshotComesFirstAndThenEveryChange) {
  const pb::Backup before = Running("web-1", "before");
  const auto stream = Watch();
  const auto first = stream->Read();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->backup().id(), before.id());
  ReadSnapshot(*stream);
  const pb::Backup after = Running("web-2", "after");
  while (const auto response = stream->Read()) {
    if (response->backup().id() != after.id()) continue;
    if (response->backup().state() == pb::Backup::RUNNING) return;
  }
  FAIL() << "the change was never seen";
}

TEST_F(WatchTest, BookmarksComeWithATokenWhileNothingHappens) {
  Running("web-1", "before");  // an empty store has nothing to resume from
  const auto stream = Watch();
  ReadSnapshot(*stream);
  for (int i = 0; i < 3; ++i) {
    const auto bookmark = stream->Read();
    ASSERT_TRUE(bookmark.has_value());
    EXPECT_FALSE(bookmark->has_backup());
    EXPECT_FALSE(bookmark->resume_token().empty());
  }
}

TEST_F(WatchTest, AResumedWatchHasOnlyWhatChangedSince) {
  const pb::Backup before = Running("web-1", "before");
  auto stream = Watch();
  ReadSnapshot(*stream);
  const std::string token = stream->token;
  stream->context.TryCancel();
  const pb::Backup after = Running("web-2", "after");
  pb::WatchBackupsRequest request;
  request.set_resume_token(token);
  stream = Watch(request);
  const auto first = stream->Read();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->backup().id(), after.id());
}

TEST_F(WatchTest, ATokenOfAnotherFilterOrGarbageIsRefused) {
  Running("web-1", "before");
  const auto stream = Watch();
  ReadSnapshot(*stream);
  pb::WatchBackupsRequest request;
  request.set_resume_token(stream->token);
  request.mutable_filter()->add_states(pb::Backup::RUNNING);
  auto refused = Watch(request);
  EXPECT_FALSE(refused->Read().has_value());
  EXPECT_THAT(refused->Finish(),
              AllOf(StatusIs(absl::StatusCode::kInvalidArgument), HasReason("BAD_RESUME_TOKEN")));
  request.set_resume_token("garbage");
  refused = Watch(request);
  EXPECT_FALSE(refused->Read().has_value());
  EXPECT_THAT(refused->Finish(), HasReason("BAD_RESUME_TOKEN"));
  request.mutable_filter()->add_repositories(7);
  refused = Watch(request);
  EXPECT_FALSE(refused->Read().has_value());
  EXPECT_THAT(refused->Finish(), HasReason("INVALID_ARGUMENT"));
}

TEST_F(WatchTest, UntilSettledEndsWithOkWhenTheWorkIsDone) {
  host("kvm-1").FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  AwaitTrue([&] { return host("kvm-1").accepted() == 1; }, "accepted");
  pb::WatchBackupsRequest request;
  request.set_until_settled(true);
  const auto stream = Watch(request);
  ReadSnapshot(*stream);
  EXPECT_TRUE(host("kvm-1").Finish(created.id()));
  pb::Backup last;
  while (const auto response = stream->Read()) {
    if (response->has_backup()) last = response->backup();
  }
  EXPECT_THAT(stream->Finish(), IsOk());
  EXPECT_THAT(last, InState(pb::Backup::RUNNING));
}

TEST_F(WatchTest, UntilSettledWithNothingToWaitForEndsAtOnce) {
  pb::WatchBackupsRequest request;
  request.set_until_settled(true);
  const auto stream = Watch(request);
  ReadSnapshot(*stream);
  EXPECT_FALSE(stream->Read().has_value());
  EXPECT_THAT(stream->Finish(), IsOk());
}

// Reads nothing while far more is reported than a stream's windows hold; the others do not notice,
// and what it reads in the end is the newest.
TEST_F(WatchTest, ASlowReaderHoldsUpNobodyAndGetsTheNewest) {
  host("kvm-1").FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const pb::Backup created, Create("web-1", "nightly", [](auto& request) {
        for (int i = 0; i < 60; ++i) {
          (*request.mutable_labels())[absl::StrCat("k", i)] = std::string(250, 'v');
        }
      }));
  AwaitTrue([&] { return host("kvm-1").accepted() == 1; }, "accepted");
  const auto slow = Watch();
  constexpr int kReports = 3000;  // of 16 KiB each
  for (int i = 1; i <= kReports; ++i) host("kvm-1").ReportProgress(created.id(), i);
  Await(created.id(), [](const pb::Backup& b) { return b.progress().bytes_done() == kReports; });
  int messages = 0;
  while (const auto response = slow->Read()) {
    ++messages;
    if (response->backup().progress().bytes_done() == kReports) break;
  }
  EXPECT_LT(messages, kReports) << "the rest was put together";
  EXPECT_TRUE(host("kvm-1").Finish(created.id()));
  AwaitState(created.id(), pb::Backup::RUNNING);
}

TEST_F(WatchTest, ADrainSaysWhereToResumeAndTheNextControllerGoesOnThere) {
  const pb::Backup before = Running("web-1", "before");
  const auto stream = Watch();
  ReadSnapshot(*stream);
  std::thread stop([this] { app_->Stop(); });
  while (stream->Read()) {
  }
  const absl::Status end = stream->Finish();
  stop.join();
  EXPECT_THAT(end, AllOf(StatusIs(absl::StatusCode::kUnavailable, HasSubstr("esume")),
                         HasReason("DRAINING")));
  ASSERT_FALSE(stream->token.empty());
  StopController();
  StartController();
  AwaitHost("kvm-1", pb::Host::ONLINE);
  const pb::Backup after = Running("web-2", "after");
  pb::WatchBackupsRequest request;
  request.set_resume_token(stream->token);
  const auto resumed = Watch(request);
  const auto first = resumed->Read();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->backup().id(), after.id()) << "nothing that was seen before";
}

TEST_F(WatchTest, WatchersThatGoAwayFreeEverything) {
  for (int i = 0; i < 200; ++i) {
    const auto stream = Watch();
    if (i % 2 == 0) (void)stream->Read();
    stream->context.TryCancel();
    EXPECT_THAT(stream->Finish(), StatusIs(absl::StatusCode::kCancelled));
  }
  Running("web-1", "nightly");
  // Stop() waits for every call that is not over: it would take the whole drain deadline.
  const absl::Duration begin = RealClock().Monotonic();
  app_->Stop();
  EXPECT_LT(RealClock().Monotonic() - begin, absl::Seconds(4));
}

}  // namespace
}  // namespace vmkeep::test
