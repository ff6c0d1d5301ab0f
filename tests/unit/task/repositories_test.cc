#include "executor/task/repositories.h"

#include "common/error.h"
#include "tests/unit/task/task_manager_fixture.h"

#include "absl/synchronization/notification.h"

// What a host knows of its repositories. The worker is the test's.
namespace vmkeep::executor {
namespace {

using Repository = ::vmkeep::v1::Repository;

class RepositoriesTest : public TaskManagerTest {
 protected:
  Repository First() { return repositories_.List().front(); }

  RepositoryGuard guard_{worker_, {}, RealClock()};
  Repositories repositories_{*env_, guard_, [] {}};
};

// Seen red: before a look had its number, the first probe's word stood until the next one's.
TEST_F(RepositoriesTest, AProbeThatBeganBeforeAnInitDoesNotUndoIt) {
  absl::Notification probing;
  absl::Notification initialised;
  absl::Notification heard;
  std::atomic<int> probes = 0;
  Repository then;
  worker_.on_probe_status = [&] {
    switch (++probes) {
      case 1:
        probing.Notify();
        initialised.WaitForNotification();
        return MakeError(absl::StatusCode::kFailedPrecondition, "REPOSITORY_MARKER_ABSENT", "bare");
      case 2:  // the first one's word was heard
        then = First();
        heard.Notify();
        break;
    }
    return absl::OkStatus();
  };
  repositories_.Run();
  probing.WaitForNotification();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Repository made, repositories_.Init(1, true, {}));
  ASSERT_EQ(made.health(), Repository::HEALTHY);
  repositories_.Refresh();
  initialised.Notify();
  ASSERT_TRUE(heard.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(then.health(), Repository::HEALTHY) << then.message();
}

}  // namespace
}  // namespace vmkeep::executor
