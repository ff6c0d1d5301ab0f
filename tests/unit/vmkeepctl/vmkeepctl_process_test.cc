// vmkeepctl as a process against a fake controller: exit codes, JSON, broken streams, signals,
// terminals.

#include "common/error.h"
#include "tests/unit/vmkeepctl/process_fixture.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::ctl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST_F(ProcessTest, CreateAnswersAtOnceAndMakesItsOwnRequestId) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  const ChildResult result =
      Run({"backup", "create", "web-1", "nightly", "--repository", "secondary", "--label", "a=b",
           "--label", "c=d=e", "--quiesce", "required"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, absl::StrCat("backup ", kId, " (nightly) of VM web-1 is REQUESTED\n"));
  EXPECT_THAT(result.err, IsEmpty());
  ASSERT_THAT(controller_.creates(), SizeIs(1));
  const v1::CreateBackupRequest request = controller_.creates()[0];
  EXPECT_EQ(request.repository(), 2);
  EXPECT_EQ(request.quiesce(), v1::Backup::REQUIRED);
  EXPECT_EQ(request.labels().at("c"), "d=e");
  EXPECT_THAT(request.request_id(), SizeIs(36));
}

TEST_F(ProcessTest, CreateIsTriedAgainWithTheSameRequestId) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.FailNext(absl::UnavailableError("restarting"));
  controller_.FailNext(absl::UnavailableError("restarting"));
  EXPECT_EQ(Run({"backup", "create", "web-1", "nightly"}).exit_code, 0);
  ASSERT_THAT(controller_.creates(), SizeIs(3));
  EXPECT_EQ(controller_.creates()[0].request_id(), controller_.creates()[2].request_id());
}

TEST_F(ProcessTest, OtherErrorsAreNotTriedAgain) {
  controller_.FailNext(MakeError(absl::StatusCode::kFailedPrecondition, "VM_ON_OVERLAY",
                                 "merge it first", {{"backup_id", "b0"}}));
  const ChildResult result = Run({"--json", "backup", "create", "web-1", "nightly"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, IsEmpty());
  const google::protobuf::Struct error = ParseJson(result.err);
  EXPECT_EQ(Field(error, "code"), "FAILED_PRECONDITION");
  EXPECT_EQ(Field(error, "reason"), "VM_ON_OVERLAY");
  EXPECT_EQ(Field(error, "message"), "merge it first");
  EXPECT_EQ(Field(error.fields().at("metadata").struct_value(), "backup_id"), "b0");
  EXPECT_THAT(controller_.creates(), SizeIs(1));
}

TEST_F(ProcessTest, AnUnknownOutcomeNamesTheRequestId) {
  for (int i = 0; i < 10; ++i) controller_.FailNext(absl::UnavailableError("restarting"));
  const ChildResult result = Run({"backup", "create", "web-1", "nightly", "--request-id", "r-1"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("--request-id r-1"), HasSubstr("(CONTROLLER_UNREACHABLE)")));
  EXPECT_THAT(controller_.creates(), SizeIs(7));
}

TEST_F(ProcessTest, AStoppingControllerSaysItselfThatNothingWasDone) {
  for (int i = 0; i < 10; ++i) {
    controller_.FailNext(
        MakeError(absl::StatusCode::kUnavailable, "DRAINING", "nothing was done, call again"));
  }
  const ChildResult result = Run({"backup", "create", "web-1", "nightly"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.err, "vmkeepctl: nothing was done, call again (DRAINING)\n");
}

TEST_F(ProcessTest, TimeoutBoundsTheTries) {
  for (int i = 0; i < 10; ++i) controller_.FailNext(absl::UnavailableError("restarting"));
  const absl::Time start = absl::Now();
  EXPECT_EQ(Run({"backup", "create", "web-1", "nightly", "--timeout", "500ms"}).exit_code, 3);
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
}

TEST_F(ProcessTest, ValidateOnlyRequestsNothing) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  const ChildResult result = Run({"backup", "create", "web-1", "nightly", "--validate-only"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("nothing was requested"));
  EXPECT_TRUE(controller_.creates()[0].validate_only());
}

TEST_F(ProcessTest, WaitResumesABrokenStream) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch(
      {{Message(Working(v1::Progress::COPYING, 10, 100), "t1")}, absl::UnavailableError("bye")});
  controller_.AddWatch({{}, absl::UnavailableError("not yet")});
  controller_.AddWatch(
      {{Message(Working(v1::Progress::MERGING, 1, 4), "t2")}, absl::InternalError("reset")});
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::RUNNING), "t3")}, absl::OkStatus()});
  const ChildResult result = Run({"backup", "create", "web-1", "nightly", "--wait"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(StartsWith(absl::StrCat("backup ", kId)), HasSubstr("is RUNNING")));
  EXPECT_THAT(result.err, AllOf(HasSubstr("copying, 10%"), HasSubstr("merging, 25%"),
                                HasSubstr("lost the controller"), Not(HasSubstr("\x1b"))));
  const std::vector<v1::WatchBackupsRequest> watches = controller_.watches();
  ASSERT_THAT(watches, SizeIs(4));
  EXPECT_THAT(watches[0].filter().ids(), ElementsAre(kId));
  EXPECT_TRUE(watches[0].filter().show_closed());
  EXPECT_TRUE(watches[0].until_settled());
  EXPECT_EQ(watches[0].resume_token(), "");
  EXPECT_EQ(watches[1].resume_token(), "t1");
  EXPECT_EQ(watches[2].resume_token(), "t1");
  EXPECT_EQ(watches[3].resume_token(), "t2");
}

TEST_F(ProcessTest, WaitOutlivesTheController) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch(
      {{Message(Working(v1::Progress::COPYING, 1, 4), "t1")}, absl::UnavailableError("bye"), true});
  Child child = Start({"backup", "create", "web-1", "nightly", "--wait"});
  controller_.AwaitWatches(1);
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::RUNNING), "t2")}, absl::OkStatus()});
  controller_.Restart();
  const ChildResult result = child.Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_THAT(controller_.watches(), SizeIs(2));
  EXPECT_EQ(controller_.watches()[1].resume_token(), "t1");
}

TEST_F(ProcessTest, AResumeTokenThatIsRefusedIsDropped) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch(
      {{Message(Working(v1::Progress::COPYING, 1, 4), "old")}, absl::UnavailableError("bye")});
  controller_.AddWatch({{}, InvalidArgument("resume_token", "of another store")});
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::RUNNING), "new")}, absl::OkStatus()});
  EXPECT_EQ(Run({"backup", "create", "web-1", "nightly", "--wait"}).exit_code, 0);
  ASSERT_THAT(controller_.watches(), SizeIs(3));
  EXPECT_EQ(controller_.watches()[2].resume_token(), "");
}

TEST_F(ProcessTest, WaitFailsWhenTheBackupDoes) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch({{Message(Failed(true), "t1")}, absl::OkStatus()});
  const ChildResult text = Run({"backup", "create", "web-1", "nightly", "--wait"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out, HasSubstr("is UNRESOURCED: REPOSITORY_FULL"));
  EXPECT_THAT(text.err,
              HasSubstr("failed in phase COPYING: the repository lacks 2 GiB; another try can help "
                        "(REPOSITORY_FULL)\n"));

  controller_.AddWatch({{Message(Failed(false), "t1")}, absl::OkStatus()});
  const ChildResult json = Run({"backup", "create", "web-1", "nightly", "--wait", "--json"});
  EXPECT_EQ(json.exit_code, 1);
  EXPECT_EQ(ParseJsonAs<v1::Backup>(json.out).state(), v1::Backup::UNRESOURCED);
  const google::protobuf::Struct error = ParseJson(json.err);
  EXPECT_EQ(Field(error, "code"), "FAILED_PRECONDITION");
  EXPECT_EQ(Field(error, "reason"), "REPOSITORY_FULL");
  EXPECT_EQ(Field(error.fields().at("metadata").struct_value(), "retryable"), "false");
}

TEST_F(ProcessTest, WaitFailsWhenSomebodyElseScrubsTheBackup) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::CLOSED), "t1")}, absl::OkStatus()});
  const ChildResult result = Run({"backup", "create", "web-1", "nightly", "--wait"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("ended CLOSED, not RUNNING (UNEXPECTED_STATE)"));
}

TEST_F(ProcessTest, InterruptLeavesTheBackupRunning) {
  size_t watches = 0;
  for (const int signal : {SIGINT, SIGTERM}) {
    controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
    controller_.AddWatch(
        {{Message(Working(v1::Progress::COPYING, 1, 4), "t")}, absl::OkStatus(), true});
    Child child = Start({"backup", "create", "web-1", "nightly", "--wait"});
    controller_.AwaitWatches(++watches);
    child.Signal(signal);
    const ChildResult result = child.Wait();
    EXPECT_EQ(result.exit_code, 130);
    EXPECT_THAT(result.err,
                AllOf(HasSubstr(absl::StrCat("backup ", kId, " goes on without us")),
                      HasSubstr(absl::StrCat("vmkeepctl backup watch ", kId, " --until-settled")),
                      HasSubstr("(INTERRUPTED)")));
    EXPECT_THAT(controller_.updates(), IsEmpty());
  }
}

TEST_F(ProcessTest, TimeoutEndsAWait) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch(
      {{Message(Working(v1::Progress::COPYING, 1, 4), "t")}, absl::OkStatus(), true});
  const ChildResult result =
      Run({"--timeout", "1", "backup", "create", "web-1", "nightly", "--wait"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, AllOf(HasSubstr("goes on without us"), HasSubstr("(TIMED_OUT)")));
}

TEST_F(ProcessTest, ATerminalGetsALiveBar) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  v1::Backup copying = Working(v1::Progress::COPYING, 1LL << 30, 4LL << 30);
  copying.mutable_progress()->set_disk(1);
  copying.mutable_progress()->set_disk_count(2);
  controller_.AddWatch(
      {{Message(copying, "t"), Message(Working(v1::Progress::MERGING, 1 << 20, 2 << 20), "t"),
        Message(MakeBackup(v1::Backup::RUNNING), "t")},
       absl::OkStatus()});
  const ChildResult result = Run({"backup", "create", "web-1", "nightly", "--wait"}, true);
  EXPECT_EQ(result.exit_code, 0);
  // How many frames there are is a matter of time; the last one is drawn in any case.
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("\x1b[J"), HasSubstr("copy    ▕"), HasSubstr("merge   ▕"),
                    HasSubstr("100%"), HasSubstr("4.00 GiB of 4.00 GiB"), HasSubstr("is RUNNING")));
}

TEST_F(ProcessTest, GetAndItsErrors) {
  controller_.SetBackup(MakeBackup(v1::Backup::RUNNING));
  EXPECT_THAT(Run({"backup", "get", kId}).out, HasSubstr("state:      RUNNING\n"));

  const ChildResult json = Run({"backup", "get", kId, "--json"});
  // Original field names, and fields without a value are there.
  EXPECT_THAT(json.out,
              AllOf(HasSubstr("\"vm_id\": \"web-1\""), HasSubstr("\"excluded_disks\": []")));
  EXPECT_EQ(ParseJsonAs<v1::Backup>(json.out).SerializeAsString(),
            MakeBackup(v1::Backup::RUNNING).SerializeAsString());

  const ChildResult absent = Run({"backup", "get", "nope"});
  EXPECT_EQ(absent.exit_code, 1);
  EXPECT_EQ(absent.err, "vmkeepctl: there is no backup nope (BACKUP_NOT_FOUND)\n");
}

TEST_F(ProcessTest, ListPagesThroughAndStopsAtTheLimit) {
  std::vector<v1::Backup> backups(5, MakeBackup(v1::Backup::RUNNING));
  controller_.SetBackups(backups);
  const ChildResult all = Run({"backup", "list", "--json", "--page-size", "2", "--vm", "web-1",
                               "--host", "kvm-1", "--state", "running", "--label", "a=b", "--all"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_EQ(ParseJsonAs<v1::ListBackupsResponse>(all.out).backups_size(), 5);
  ASSERT_THAT(controller_.lists(), SizeIs(3));
  const v1::BackupFilter filter = controller_.lists()[2].filter();
  EXPECT_THAT(filter.vm_ids(), ElementsAre("web-1"));
  EXPECT_THAT(filter.host_ids(), ElementsAre("kvm-1"));
  EXPECT_THAT(filter.states(), ElementsAre(v1::Backup::RUNNING));
  EXPECT_EQ(filter.labels().at("a"), "b");
  EXPECT_TRUE(filter.show_closed());

  const ChildResult some = Run({"backup", "list", "--page-size", "2", "--limit", "3"});
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(some.out, '\n')),
              SizeIs(5));  // title, 3, and after the last
  EXPECT_EQ(some.err, "there are more: raise --limit\n");
  EXPECT_EQ(controller_.lists().back().page_size(), 1);

  controller_.SetBackups({});
  EXPECT_THAT(Run({"backup", "list", "--json"}).out, HasSubstr("\"backups\": []"));
}

TEST_F(ProcessTest, WatchWritesJsonLines) {
  v1::WatchBackupsResponse bookmark;
  bookmark.set_snapshot_complete(true);
  bookmark.set_resume_token("t0");
  controller_.AddWatch({{bookmark, Message(Working(v1::Progress::COPYING, 1, 4), "t1")},
                        absl::UnavailableError("")});
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::RUNNING), "t2")}, absl::OkStatus()});
  const ChildResult result = Run({"backup", "watch", kId, "--until-settled", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<std::string> lines = absl::StrSplit(result.out, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(ParseJsonAs<v1::Backup>(lines[0]).progress().bytes_total(), 4);
  EXPECT_EQ(ParseJsonAs<v1::Backup>(lines[1]).state(), v1::Backup::RUNNING);
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(ProcessTest, WatchOfNamedBackupsFailsWithThem) {
  controller_.AddWatch({{Message(Failed(false), "t1")}, absl::OkStatus()});
  EXPECT_EQ(Run({"backup", "watch", kId, "--until-settled"}).exit_code, 1);
  controller_.AddWatch({{Message(Failed(false), "t1")}, absl::OkStatus()});
  EXPECT_EQ(Run({"backup", "watch", "--vm", "web-1", "--until-settled"}).exit_code, 0);
}

TEST_F(ProcessTest, WatchIsInterruptible) {
  controller_.AddWatch({{}, absl::OkStatus(), true});
  Child child = Start({"backup", "watch"});
  controller_.AwaitWatches(1);
  child.Signal(SIGINT);
  EXPECT_EQ(child.Wait().exit_code, 130);
}

TEST_F(ProcessTest, WatchFailsWithTheControllersRefusal) {
  controller_.AddWatch({{}, InvalidArgument("filter.ids", "too many")});
  EXPECT_EQ(Run({"backup", "watch"}).exit_code, 2);
}

TEST_F(ProcessTest, ScrubWaitsUntilClosed) {
  controller_.SetBackup(MakeBackup(v1::Backup::RUNNING));
  v1::Backup closed = MakeBackup(v1::Backup::CLOSED);
  closed.set_scrub_level("REMOVED");
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::SCRUBBING), "t1"), Message(closed, "t2")},
                        absl::OkStatus()});
  const ChildResult result = Run({"backup", "scrub", kId, "--wait"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("is CLOSED: REMOVED\n"));
  ASSERT_THAT(controller_.updates(), SizeIs(1));
  EXPECT_EQ(controller_.updates()[0].state(), v1::Backup::SCRUB);
  EXPECT_THAT(controller_.updates()[0].update_mask().paths(), ElementsAre("state"));
}

TEST_F(ProcessTest, UpdateNamesTheFieldsItChanges) {
  controller_.SetBackup(MakeBackup(v1::Backup::RUNNING));
  EXPECT_EQ(Run({"backup", "update", kId, "--name", "weekly", "--label", "a=b"}).exit_code, 0);
  EXPECT_EQ(Run({"backup", "update", kId, "--no-labels"}).exit_code, 0);
  ASSERT_THAT(controller_.updates(), SizeIs(2));
  EXPECT_EQ(controller_.updates()[0].name(), "weekly");
  EXPECT_THAT(controller_.updates()[0].update_mask().paths(), ElementsAre("name", "labels"));
  EXPECT_THAT(controller_.updates()[1].update_mask().paths(), ElementsAre("labels"));
  EXPECT_EQ(Run({"backup", "update", kId}).exit_code, 2);
}

TEST_F(ProcessTest, HostsVmsAndRepositories) {
  const ChildResult hosts = Run({"host", "list"});
  EXPECT_EQ(hosts.out,
            "ID     ADDRESS      AVAILABILITY  HYPERVISOR  VERSION  LAST SEEN  MESSAGE\n"
            "kvm-1  unix:/run/x  ONLINE        -           -        -\n"
            "kvm-2  kvm-2:7000   UNREACHABLE   -           -        -          connection "
            "refused?[31m\n");
  EXPECT_EQ(ParseJsonAs<v1::ListHostsResponse>(Run({"host", "list", "--json"}).out).hosts_size(),
            2);
  EXPECT_THAT(Run({"host", "add", "kvm-1", "unix:/run/x"}).out, HasSubstr("kvm-1"));
  EXPECT_THAT(
      Run({"vm", "list", "--host", "kvm-1"}).out,
      HasSubstr("3.00 MiB since 2025-11-24T16:00:00Z, NEEDS ATTENTION: merge it by hand\n"));
  EXPECT_THAT(Run({"repo", "init", "kvm-1", "2", "--allow-plain-directory"}).out,
              HasSubstr("is slot 2 of host kvm-1: HEALTHY, 1.00 TiB free of 2.00 TiB\n"));
  EXPECT_EQ(Run({"repo", "init", "kvm-1", "secondary"}).exit_code, 1);
  EXPECT_EQ(Run({"repo", "init", "kvm-1", "3"}).exit_code, 2);
  EXPECT_THAT(Run({"repo", "list", "--json"}).out, HasSubstr("\"repositories\": []"));
}

TEST_F(ProcessTest, UsageErrorsEndWith2) {
  EXPECT_EQ(Run({}).exit_code, 2);
  EXPECT_EQ(Run({"backup"}).exit_code, 2);
  EXPECT_EQ(Run({"backup", "create", "web-1"}).exit_code, 2);
  EXPECT_EQ(Run({"backup", "create", "web-1", "n", "--label", "novalue"}).exit_code, 2);
  EXPECT_EQ(Run({"backup", "create", "web-1", "n", "--wait", "--validate-only"}).exit_code, 2);
  EXPECT_EQ(Run({"backup", "list", "--state", "BROKEN"}).exit_code, 2);
  EXPECT_EQ(Run({"--timeout", "soon", "host", "list"}).exit_code, 2);
  EXPECT_EQ(Run({"--server", "10.0.0.1:7000", "host", "list"}).exit_code, 2);
  const ChildResult json = Run({"backup", "create", "web-1", "--json"});
  EXPECT_EQ(json.exit_code, 2);
  EXPECT_EQ(Field(ParseJson(json.err), "reason"), "USAGE");
  controller_.FailNext(InvalidArgument("id", "1 to 63 characters"));
  EXPECT_EQ(Run({"host", "add", "", "unix:/x"}).exit_code, 2);
}

TEST_F(ProcessTest, NamesLikeCommandsAreJustNames) {
  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  EXPECT_EQ(Run({"backup", "create", "list", "host"}).exit_code, 0);
  EXPECT_EQ(Run({"backup", "create", "--", "-vm", "--json"}).exit_code, 0);
  EXPECT_EQ(controller_.creates()[0].vm_id(), "list");
  EXPECT_EQ(controller_.creates()[1].name(), "--json");
}

TEST_F(ProcessTest, AnAbsentControllerIs3) {
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"host", "list"}, {"backup", "watch"}, {"backup", "get", "x"}}) {
    std::vector<std::string> arguments = {"--server", "unix:/tmp/vmkeepctl-nobody-here"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    const ChildResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_THAT(
        result.err,
        AllOf(StartsWith("vmkeepctl: the controller at unix:/tmp/vmkeepctl-nobody-here cannot be"),
              HasSubstr("No such file"), HasSubstr("(CONTROLLER_UNREACHABLE)\n")));
  }
}

TEST_F(ProcessTest, AControllerThatAnswersUnavailableIs1) {
  controller_.FailNext(
      MakeError(absl::StatusCode::kUnavailable, "HOST_UNREACHABLE", "kvm-1 does not answer"));
  EXPECT_EQ(Run({"host", "add", "kvm-1", "unix:/x"}).exit_code, 1);
}

TEST_F(ProcessTest, HelpNamesTheExitCodes) {
  const ChildResult result = Run({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("Exit codes:"), HasSubstr("130  interrupted"),
                                HasSubstr("VMKEEP_SERVER")));
  EXPECT_EQ(Run({"backup", "create", "--help"}).exit_code, 0);
}

}  // namespace
}  // namespace vmkeep::ctl
