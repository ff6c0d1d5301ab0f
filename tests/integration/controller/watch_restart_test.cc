#include "tests/integration/controller/end_to_end_fixture.h"

#include <set>

// A watch outlives the controller: killed with SIGKILL, and another process on the same store goes
// on where the token says.
namespace vmkeep::test {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class WatchRestartTest : public EndToEndTest {
 protected:
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<pb::WatchBackupsResponse>> reader;
  };
  std::unique_ptr<Stream> Watch(const pb::WatchBackupsRequest& request) {
    auto stream = std::make_unique<Stream>();
    SetDeadline(stream->context);
    stream->reader = backups_->WatchBackups(&stream->context, request);
    return stream;
  }
  // Reads until `last` accepts a response; the newest token is kept.
  void ReadUntil(Stream& stream, const std::function<bool(const pb::WatchBackupsResponse&)>& last) {
    pb::WatchBackupsResponse response;
    while (stream.reader->Read(&response)) {
      if (!response.resume_token().empty()) token_ = response.resume_token();
      if (last(response)) return;
    }
    ADD_FAILURE() << "it ended: " << stream.reader->Finish().error_message();
  }

  std::string token_;
};

TEST_F(WatchRestartTest, AfterAKillAWatchGoesOnWithoutAGapAndWithoutARepeat) {
  const pb::Backup before = AwaitState(Create("before").id(), pb::Backup::RUNNING);
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  AwaitCopying(created.id());
  const auto stream = Watch({});
  std::set<std::string> snapshot;
  ReadUntil(*stream, [&](const pb::WatchBackupsResponse& response) {
    if (response.has_backup()) snapshot.insert(response.backup().id());
    return response.snapshot_complete();
  });
  EXPECT_THAT(snapshot, SizeIs(2));
  ASSERT_THAT(token_, Not(IsEmpty()));
  KillController();
  pb::WatchBackupsResponse response;
  while (stream->reader->Read(&response)) continue;
  EXPECT_EQ(stream->reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);

  executor_.SetGate("");  // the host carries on alone
  StartController();
  pb::WatchBackupsRequest request;
  request.set_resume_token(token_);
  const auto resumed = Watch(request);
  ReadUntil(*resumed, [&](const pb::WatchBackupsResponse& next) {
    if (!next.has_backup()) return false;
    EXPECT_EQ(next.backup().id(), created.id()) << "nothing of " << before.id() << " changed";
    return next.backup().state() == pb::Backup::RUNNING;
  });
}

// Nothing changed between the token and the resume: the watch still knows what it waits for.
TEST_F(WatchRestartTest, UntilSettledGoesOnWaitingAfterAKill) {
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  AwaitCopying(created.id());
  pb::WatchBackupsRequest request;
  request.set_until_settled(true);
  request.mutable_filter()->add_ids(created.id());
  const auto stream = Watch(request);
  ReadUntil(*stream, [](const auto& response) { return response.snapshot_complete(); });
  KillController();
  StartController();
  AwaitOnline();
  request.set_resume_token(token_);
  const auto again = Watch(request);
  ReadUntil(*again, [](const auto& response) {
    EXPECT_FALSE(response.has_backup());
    return response.snapshot_complete();
  });
  executor_.SetGate("");
  pb::WatchBackupsResponse response;
  pb::Backup last;
  while (again->reader->Read(&response)) {
    if (response.has_backup()) last = response.backup();
  }
  EXPECT_TRUE(again->reader->Finish().ok());
  EXPECT_EQ(last.state(), pb::Backup::RUNNING);
}

}  // namespace
}  // namespace vmkeep::test
