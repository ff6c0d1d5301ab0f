#include "executor/worker/session.h"

#include "common/clock.h"
#include "common/fs/fd.h"
#include "common/jsonl/jsonl.h"
#include "tests/support/status_matchers.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::worker {
namespace {

using test::IsOk;
using ::testing::ElementsAre;

constexpr char kProbe[] = "{\"probe\":{}}\n";

// A session between two pipes. The worker's exits are tested in worker_process_test.cc.
class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    EXPECT_EQ(pipe2(in.data(), O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
    in_ = fs::Fd(in[0]);
    request_ = fs::Fd(in[1]);
    answer_ = fs::Fd(out[0]);
    out_ = fs::Fd(out[1]);
  }

  void Say(const std::string& line) {
    EXPECT_EQ(write(request_.get(), line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }

  // Every line to the end; closes the session's end first.
  std::vector<v1::Response> Lines() {
    out_ = fs::Fd();
    jsonl::LineReader reader;
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = read(answer_.get(), buffer.data(), buffer.size())) > 0;) {
      reader.Append(absl::string_view(buffer.data(), static_cast<size_t>(got)));
    }
    std::vector<v1::Response> lines;
    while (const auto line = *reader.Next()) {
      lines.emplace_back();
      EXPECT_THAT(jsonl::Decode(*line, &lines.back()), IsOk());
    }
    return lines;
  }

  fs::Fd in_;
  fs::Fd request_;
  fs::Fd answer_;
  fs::Fd out_;
};

TEST_F(SessionTest, ProgressThenOneAnswer) {
  Say(kProbe);
  const int status =
      Session(in_.get(), out_.get()).Run([](const v1::Request& request, JobContext* context) {
        EXPECT_TRUE(request.has_probe());
        context->SetTotal(5);
        context->AddProgress(5, 0);
        return v1::Result();
      });
  EXPECT_EQ(status, 0);
  const std::vector<v1::Response> lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].progress().bytes_done(), 0);
  EXPECT_EQ(lines[1].progress().bytes_done(), 5);
  EXPECT_TRUE(lines[2].has_result());
}

// Seen red: with each progress line written by the job's thread it never came to its end; without
// the bound the reader had all of them.
TEST_F(SessionTest, AParentThatDoesNotReadStopsNoJob) {
  constexpr int kLines = 100;
  // A full pipe.
  ASSERT_EQ(fcntl(out_.get(), F_SETFL, O_NONBLOCK), 0);
  const std::string junk(4096, '\n');
  while (write(out_.get(), junk.data(), junk.size()) > 0) {
  }
  ASSERT_EQ(fcntl(out_.get(), F_SETFL, 0), 0);
  Say(kProbe);
  std::promise<void> job_done;
  int status = -1;
  std::thread session([&] {
    status = Session(in_.get(), out_.get()).Run([&](const v1::Request&, JobContext* context) {
      for (int i = 0; i < kLines; ++i) context->SetTotal(kLines, i);
      job_done.set_value();
      return v1::Result();
    });
  });
  EXPECT_EQ(job_done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  // The answer waits for the reader.
  std::string text;
  std::array<char, 4096> buffer;
  while (text.find("result") == std::string::npos) {
    const ssize_t got = read(answer_.get(), buffer.data(), buffer.size());
    ASSERT_GT(got, 0);
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  session.join();
  EXPECT_EQ(status, 0);
  int lines = 0;
  for (size_t at = 0; (at = text.find("progress", at)) != std::string::npos; ++at) ++lines;
  // What waits, and what is being written.
  EXPECT_LE(lines, static_cast<int>(LineWriter::kMaxWaiting) + 1);
}

TEST_F(SessionTest, ACancelReachesTheJob) {
  Say(kProbe);
  const int status =
      Session(in_.get(), out_.get())
          .Run([&](const v1::Request&, JobContext* context) -> absl::StatusOr<v1::Result> {
            Say("{\"cancel\":{}}\n");
            while (context->CheckCancelled().ok()) std::this_thread::yield();
            return context->CheckCancelled();
          });
  EXPECT_EQ(status, 1);
  const std::vector<v1::Response> lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].error().reason(), "CANCELLED");
}

// In its last step a job is not given up, however long it takes after a cancel.
TEST_F(SessionTest, ACommittedJobFinishesAlthoughItWasCancelled) {
  Say(kProbe);
  const int status =
      Session(in_.get(), out_.get())
          .Run([&](const v1::Request&, JobContext* context) -> absl::StatusOr<v1::Result> {
            EXPECT_THAT(context->BeginCommit(), IsOk());
            request_ = fs::Fd();
            RealClock().WaitFor(2 * Session::kCancelGrace, {});
            return v1::Result();
          });
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Lines().back().has_result());
}

// In a child, which ends under its job. Seen red: with the stall time of a copy alone.
TEST_F(SessionTest, ASealThatReadsNothingIsAStall) {
  Say("{\"seal_export\":{\"incoming\":\"x.1\",\"stall_seconds\":1}}\n");
  EXPECT_EXIT(Session(in_.get(), out_.get())
                  .Run([](const v1::Request&, JobContext* context) -> absl::StatusOr<v1::Result> {
                    context->SetTotal(5);
                    RealClock().WaitFor(absl::Seconds(20), {});
                    return v1::Result();
                  }),
              testing::ExitedWithCode(1), "");
  const std::vector<v1::Response> lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].error().reason(), "COPY_STALLED");
  EXPECT_THAT(lines[1].error().message(),
              testing::HasSubstr("reading back the export in .incoming/x.1"));
}

TEST_F(SessionTest, BytesThatAreNoUtf8DoNotSpoilTheAnswer) {
  Say(kProbe);
  Session(in_.get(), out_.get())
      .Run([](const v1::Request&, JobContext*) -> absl::StatusOr<v1::Result> {
        return absl::NotFoundError("B\xc3\xbcro \xff\xfe \xe2\x98\x83 \xe2\x98");
      });
  EXPECT_EQ(Lines().back().error().message(), "B\xc3\xbcro ?? \xe2\x98\x83 ??");
}

}  // namespace
}  // namespace vmkeep::worker
