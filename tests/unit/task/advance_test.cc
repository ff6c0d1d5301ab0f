#include "executor/task/advance.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using Kind = TaskEvent::Kind;
using Do = Command::Kind;

const absl::Status kBroken = absl::ResourceExhaustedError("broken");
const absl::Status kStopped = absl::UnavailableError("stopped");
const absl::Status kRestarted = absl::UnavailableError("restarted");

TaskEvent Start() { return {Kind::kStart, {}, {}}; }
TaskEvent Succeeded(BackupMethod method = BackupMethod::kOverlays) {
  return {Kind::kStepSucceeded, {}, {"vda", "vdb"}, method};
}
TaskEvent Failed(const absl::Status& status = kBroken) { return {Kind::kStepFailed, status, {}}; }
TaskEvent Cancel() { return {Kind::kCancelRequested, {}, {}}; }
TaskEvent Stop() { return {Kind::kStopRequested, kStopped, {}}; }
TaskEvent Restart() { return {Kind::kRestarted, kRestarted, {}}; }

// "copy vda", "merge vdb", "publish".
std::string Name(const Step& step) {
  return step.target.empty() ? std::string(RuleOf(step.kind).name)
                             : absl::StrCat(RuleOf(step.kind).name, " ", step.target);
}

std::string Text(const TaskState& state) {
  return absl::StrCat(
      absl::StrJoin(state.steps, ",",
                    [](std::string* out, const Step& s) {
                      absl::StrAppend(out, Name(s), "=", static_cast<int>(s.status));
                    }),
      state.ended ? " ended" : "", state.cancelled ? " cancelled" : "", " ",
      state.failure.ToString(), " ", state.failed_in ? RuleOf(*state.failed_in).name : "-");
}

// A task under test: what it was told to do, in words.
class Walk {
 public:
  explicit Walk(TaskKind kind = TaskKind::kBackup) : state_(NewTask(kind)) {}
  explicit Walk(BackupMethod method) : method_(method), state_(NewTask(TaskKind::kBackup)) {}

  Walk& On(const TaskEvent& event) {
    Transition transition = Advance(state_, event);
    for (const Command& command : transition.commands) Note(transition.next, command);
    state_ = transition.next;
    return *this;
  }
  // Start, then successes until `step` is under way.
  Walk& Reach(const std::string& step) {
    On(Start());
    for (int i = 0; i < 20 && running() != step; ++i) On(Succeeded(method_));
    EXPECT_EQ(running(), step);
    done_.clear();
    return *this;
  }
  // Successes to the end.
  Walk& Finish() {
    for (int i = 0; i < 20 && !state_.ended; ++i) On(Succeeded(method_));
    return *this;
  }

  std::string running() const {
    return state_.running() < 0 ? "" : Name(state_.steps[state_.running()]);
  }
  const TaskState& state() const { return state_; }
  const std::vector<std::string>& done() const {
    return done_;
  }  // "run copy vda", "stop", "thaw", "end"
  const Ending& ending() const { return ending_; }

 private:
  void Note(const TaskState& state, const Command& command) {
    if (command.kind == Do::kRunStep)
      done_.push_back(absl::StrCat("run ", Name(state.steps[command.step])));
    if (command.kind == Do::kCancelRunningStep) done_.emplace_back("stop");
    if (command.kind == Do::kThaw) done_.emplace_back("thaw");
    if (command.kind == Do::kEnd) {
      done_.emplace_back("end");
      ending_ = command.ending;
    }
  }

  BackupMethod method_ = BackupMethod::kOverlays;
  TaskState state_;
  std::vector<std::string> done_;
  Ending ending_;
};

TEST(AdvanceTest, BackupRunsItsStepsInOrder) {
  Walk walk;
  walk.On(Start()).Finish();
  EXPECT_THAT(walk.done(), ElementsAre("run preflight", "run snapshot", "run copy vda",
                                       "run copy vdb", "run merge vda", "run merge vdb",
                                       "run check", "run remove_overlay", "run publish", "end"));
  EXPECT_EQ(walk.ending().outcome, Outcome::kDone);
  EXPECT_FALSE(walk.ending().files_may_remain || walk.ending().vm_on_overlay);
  EXPECT_TRUE(walk.ending().snapshot_taken);
}

TEST(AdvanceTest, ExportRunsItsStepsInOrder) {
  Walk walk(BackupMethod::kExport);
  walk.On(Start()).Finish();
  EXPECT_THAT(walk.done(), ElementsAre("run preflight", "run export", "run end_export", "run seal",
                                       "run publish", "end"));
  EXPECT_EQ(walk.ending().outcome, Outcome::kDone);
  EXPECT_FALSE(walk.ending().files_may_remain || walk.ending().vm_on_overlay);
  EXPECT_TRUE(walk.ending().snapshot_taken);
}

TEST(AdvanceTest, ScrubIsOneStep) {
  Walk walk(TaskKind::kScrub);
  walk.On(Start()).Finish();
  EXPECT_THAT(walk.done(), ElementsAre("run scrub", "end"));
  EXPECT_EQ(walk.ending().outcome, Outcome::kDone);
}

TEST(AdvanceTest, EachStepIsAnnouncedAfterItIsDoneAndJournalledBeforeItRuns) {
  TaskState state = Advance(NewTask(TaskKind::kBackup), Start()).next;
  const Transition transition = Advance(state, Succeeded());
  EXPECT_THAT(
      transition.commands,
      ElementsAre(AllOf(Field(&Command::kind, Do::kEmitStepDone), Field(&Command::step, 0)),
                  AllOf(Field(&Command::kind, Do::kJournalIntent), Field(&Command::step, 1)),
                  AllOf(Field(&Command::kind, Do::kRunStep), Field(&Command::step, 1))));
}

TEST(AdvanceTest, CancelBeforeTheStartEndsWithoutAStep) {
  Walk walk;
  walk.On(Cancel()).On(Start());
  EXPECT_THAT(walk.done(), ElementsAre("end"));
  EXPECT_EQ(walk.ending().outcome, Outcome::kCancelled);
}

// What follows when the step under way meets the event and everything after it succeeds.
struct Pair {
  std::string step;
  TaskEvent event;
  std::vector<std::string> then;  // commands, the end included
  Outcome outcome;
  bool on_overlay = false;
  bool files = false;
  bool snapshot = true;
};

std::vector<std::string> Then(const std::string& list) { return absl::StrSplit(list, '|'); }

void ExpectEnd(const Pair& pair, BackupMethod method) {
  Walk walk(method);
  walk.Reach(pair.step).On(pair.event).Finish();
  EXPECT_EQ(walk.done(), pair.then);
  EXPECT_EQ(walk.ending().outcome, pair.outcome);
  EXPECT_EQ(walk.ending().vm_on_overlay, pair.on_overlay);
  EXPECT_EQ(walk.ending().files_may_remain, pair.files);
  EXPECT_EQ(walk.ending().snapshot_taken, pair.snapshot);
}

class PairTest : public ::testing::TestWithParam<Pair> {};
TEST_P(PairTest, EndsAsTheTableSays) { ExpectEnd(GetParam(), BackupMethod::kOverlays); }

class ExportPairTest : public ::testing::TestWithParam<Pair> {};
TEST_P(ExportPairTest, EndsAsTheTableSays) { ExpectEnd(GetParam(), BackupMethod::kExport); }

const char kMergeAll[] = "run merge vda|run merge vdb|run check|run remove_overlay";
std::string Merge(const std::string& rest) { return absl::StrCat(kMergeAll, "|", rest); }

INSTANTIATE_TEST_SUITE_P(
    EveryStepAndEvent, PairTest,
    ::testing::Values(
        // Before the snapshot nothing needs to be merged, and nothing was copied that had to be
        // discarded.
        Pair{"preflight", Failed(), Then("end"), Outcome::kFailed, false, false, false},
        Pair{"preflight", Cancel(), Then("stop|end"), Outcome::kCancelled, false, false, false},
        Pair{"preflight", Stop(), Then("stop|end"), Outcome::kFailed, false, false, false},
        Pair{"preflight", Restart(), Then("end"), Outcome::kFailed, false, false, false},
        // A snapshot that was refused leaves no overlay; looking is cheap, so the merges look.
        Pair{"snapshot", Failed(), Then(Merge("end")), Outcome::kFailed, false, false, false},
        Pair{"snapshot", Failed(absl::UnavailableError("lost")), Then(Merge("end")),
             Outcome::kFailed, false, false, true},
        Pair{"snapshot", Cancel(), Then(Merge("end")), Outcome::kCancelled},
        Pair{"snapshot", Stop(), Then(Merge("end")), Outcome::kFailed},
        Pair{"snapshot", Restart(), Then("thaw|" + Merge("end")), Outcome::kFailed},
        Pair{"copy vda", Failed(), Then(Merge("run discard|end")), Outcome::kFailed},
        Pair{"copy vda", Cancel(), Then("stop|" + Merge("run discard|end")), Outcome::kCancelled},
        Pair{"copy vda", Stop(), Then("stop|" + Merge("run discard|end")), Outcome::kFailed},
        // Gone on with: the step itself finds out whether it can, and fails if not.
        Pair{"copy vda", Restart(), Then("run copy vda|run copy vdb|" + Merge("run publish|end")),
             Outcome::kDone},
        Pair{"copy vdb", Failed(), Then(Merge("run discard|end")), Outcome::kFailed},
        Pair{"copy vdb", Cancel(), Then("stop|" + Merge("run discard|end")), Outcome::kCancelled},
        Pair{"copy vdb", Stop(), Then("stop|" + Merge("run discard|end")), Outcome::kFailed},
        Pair{"copy vdb", Restart(), Then("run copy vdb|" + Merge("run publish|end")),
             Outcome::kDone},
        // One disk that cannot be merged does not keep the other on its overlay; nothing is
        // unlinked.
        Pair{"merge vda", Failed(), Then("run merge vdb|run discard|end"), Outcome::kFailed, true},
        Pair{"merge vda", Cancel(),
             Then("run merge vdb|run check|run remove_overlay|run discard|end"),
             Outcome::kCancelled},
        Pair{"merge vda", Stop(),
             Then("run merge vdb|run check|run remove_overlay|run discard|end"), Outcome::kFailed},
        // Everything was copied: what is missing is done, and the backup is published.
        Pair{"merge vda", Restart(), Then(Merge("run publish|end")), Outcome::kDone},
        Pair{"merge vdb", Failed(), Then("run discard|end"), Outcome::kFailed, true},
        Pair{"merge vdb", Cancel(), Then("run check|run remove_overlay|run discard|end"),
             Outcome::kCancelled},
        Pair{"merge vdb", Stop(), Then("run check|run remove_overlay|run discard|end"),
             Outcome::kFailed},
        Pair{"merge vdb", Restart(),
             Then("run merge vdb|run check|run remove_overlay|run publish|end"), Outcome::kDone},
        Pair{"check", Failed(), Then("run discard|end"), Outcome::kFailed, true},
        Pair{"check", Cancel(), Then("run remove_overlay|run discard|end"), Outcome::kCancelled},
        Pair{"check", Stop(), Then("run remove_overlay|run discard|end"), Outcome::kFailed},
        Pair{"check", Restart(), Then("run check|run remove_overlay|run publish|end"),
             Outcome::kDone},
        Pair{"remove_overlay", Failed(), Then("run discard|end"), Outcome::kFailed},
        Pair{"remove_overlay", Cancel(), Then("run discard|end"), Outcome::kCancelled},
        Pair{"remove_overlay", Stop(), Then("run discard|end"), Outcome::kFailed},
        Pair{"remove_overlay", Restart(), Then("run remove_overlay|run publish|end"),
             Outcome::kDone},
        // Past the point of no return.
        Pair{"publish", Failed(), Then("run discard|end"), Outcome::kFailed},
        Pair{"publish", Cancel(), Then("end"), Outcome::kDone},
        Pair{"publish", Stop(), Then("end"), Outcome::kDone},
        Pair{"publish", Restart(), Then("run publish|end"), Outcome::kDone}));

INSTANTIATE_TEST_SUITE_P(
    EveryStepAndEvent, ExportPairTest,
    ::testing::Values(
        // Nothing was exported, and there is nothing to end.
        Pair{"preflight", Failed(), Then("end"), Outcome::kFailed, false, false, false},
        Pair{"preflight", Cancel(), Then("stop|end"), Outcome::kCancelled, false, false, false},
        Pair{"preflight", Stop(), Then("stop|end"), Outcome::kFailed, false, false, false},
        Pair{"preflight", Restart(), Then("end"), Outcome::kFailed, false, false, false},
        // Whoever writes is stopped before anything is removed.
        Pair{"export", Failed(), Then("run end_export|run discard|end"), Outcome::kFailed, false,
             false, false},
        Pair{"export", Failed(absl::UnavailableError("lost")),
             Then("run end_export|run discard|end"), Outcome::kFailed},
        Pair{"export", Cancel(), Then("stop|run end_export|run discard|end"), Outcome::kCancelled},
        Pair{"export", Stop(), Then("stop|run end_export|run discard|end"), Outcome::kFailed},
        Pair{"export", Restart(), Then("run end_export|run discard|end"), Outcome::kFailed},
        // Somebody may still write there: nothing is removed, and that is said.
        Pair{"end_export", Failed(), Then("end"), Outcome::kFailed, false, true},
        Pair{"end_export", Cancel(), Then("run discard|end"), Outcome::kCancelled},
        Pair{"end_export", Stop(), Then("run discard|end"), Outcome::kFailed},
        // The export is known to be whole.
        Pair{"end_export", Restart(), Then("run end_export|run seal|run publish|end"),
             Outcome::kDone},
        Pair{"seal", Failed(), Then("run discard|end"), Outcome::kFailed},
        Pair{"seal", Cancel(), Then("stop|run discard|end"), Outcome::kCancelled},
        Pair{"seal", Stop(), Then("stop|run discard|end"), Outcome::kFailed},
        Pair{"seal", Restart(), Then("run seal|run publish|end"), Outcome::kDone},
        Pair{"publish", Failed(), Then("run discard|end"), Outcome::kFailed},
        Pair{"publish", Cancel(), Then("end"), Outcome::kDone},
        Pair{"publish", Stop(), Then("end"), Outcome::kDone},
        Pair{"publish", Restart(), Then("run publish|end"), Outcome::kDone}));

TEST(AdvanceTest, RestartAsksAgainForTheEndOfAnExportThatWasNotHad) {
  Walk walk(BackupMethod::kExport);
  walk.Reach("export").On(Failed()).On(Cancel());
  EXPECT_EQ(walk.running(), "end_export");
  walk.On(Restart()).Finish();
  EXPECT_THAT(walk.done(), ElementsAre("run end_export", "run end_export", "run discard", "end"));
  EXPECT_EQ(walk.state().failure, kBroken);
  EXPECT_FALSE(walk.ending().files_may_remain);
}

TEST(AdvanceTest, EndOfAnExportThatFailsAfterACancelIsAFailure) {
  Walk walk(BackupMethod::kExport);
  walk.Reach("export").On(Cancel()).On(Failed(absl::CancelledError())).On(Failed());
  EXPECT_EQ(walk.ending().outcome, Outcome::kFailed);
  EXPECT_TRUE(walk.ending().files_may_remain);
  EXPECT_EQ(walk.state().failed_in, StepKind::kEndExport);
}

TEST(AdvanceTest, DiscardThatFailsLeavesFilesAndKeepsTheFirstFailure) {
  Walk walk;
  walk.Reach("publish").On(Failed()).On(Failed(absl::UnavailableError("gone")));
  EXPECT_TRUE(walk.ending().files_may_remain);
  EXPECT_EQ(walk.ending().outcome, Outcome::kFailed);
  EXPECT_EQ(walk.state().failure, kBroken);
  EXPECT_EQ(walk.state().failed_in, StepKind::kPublish);
}

TEST(AdvanceTest, DiscardGoesOnThroughCancelStopAndRestart) {
  Walk walk;
  walk.Reach("publish").On(Failed()).On(Cancel()).On(Stop());
  EXPECT_EQ(walk.running(), "discard");
  walk.On(Restart());
  EXPECT_THAT(walk.done(), ElementsAre("run discard", "run discard"));
  walk.Finish();
  EXPECT_EQ(walk.state().failure, kBroken);
}

TEST(AdvanceTest, ScrubIsFinishedWhateverHappens) {
  for (const TaskEvent& event : {Cancel(), Stop()}) {
    Walk walk(TaskKind::kScrub);
    walk.Reach("scrub").On(event).Finish();
    EXPECT_EQ(walk.ending().outcome, Outcome::kDone);
  }
  Walk walk(TaskKind::kScrub);
  walk.Reach("scrub").On(Restart());
  EXPECT_THAT(walk.done(), ElementsAre("run scrub"));
  walk.On(Failed());
  EXPECT_EQ(walk.ending().outcome, Outcome::kFailed);
}

TEST(AdvanceTest, ScrubThatWasOnlyAcceptedRunsAfterARestartAndABackupDoesNot) {
  Walk scrub(TaskKind::kScrub);
  scrub.On(Restart());
  EXPECT_THAT(scrub.done(), ElementsAre("run scrub"));
  Walk backup;
  backup.On(Restart());
  EXPECT_THAT(backup.done(), ElementsAre("end"));
  EXPECT_EQ(backup.ending().outcome, Outcome::kFailed);
  EXPECT_EQ(backup.state().failure, kRestarted);
}

// The table of the design: R, else M.
TEST(AdvanceTest, CopyThatCannotBeGoneOnWithIsMergedAndFailed) {
  Walk walk;
  walk.Reach("copy vdb").On(Restart()).On(Failed(kRestarted)).Finish();
  EXPECT_THAT(absl::StrJoin(walk.done(), "|"), "run copy vdb|" + Merge("run discard|end"));
  EXPECT_EQ(walk.ending().outcome, Outcome::kFailed);
  EXPECT_EQ(walk.state().failure, kRestarted);
  EXPECT_EQ(walk.state().failed_in, StepKind::kCopy);
}

TEST(AdvanceTest, CopyIsNotGoneOnWithAfterACancelOrAStop) {
  for (const TaskEvent& event : {Cancel(), Stop()}) {
    Walk walk;
    walk.Reach("copy vda").On(event).On(Restart()).Finish();
    EXPECT_THAT(absl::StrJoin(walk.done(), "|"), "stop|" + Merge("run discard|end"));
    EXPECT_NE(walk.ending().outcome, Outcome::kDone);
  }
}

TEST(AdvanceTest, CopyMayBeInterruptedAgainAndAgain) {
  Walk walk;
  walk.Reach("copy vda").On(Restart()).On(Restart()).On(Succeeded()).On(Restart()).Finish();
  EXPECT_THAT(absl::StrJoin(walk.done(), "|"),
              "run copy vda|run copy vda|run copy vdb|run copy vdb|" + Merge("run publish|end"));
  EXPECT_EQ(walk.ending().outcome, Outcome::kDone);
}

TEST(AdvanceTest, RestartKeepsTheFailureThatCameBefore) {
  Walk walk;
  walk.Reach("copy vdb").On(Failed()).On(Restart()).Finish();
  EXPECT_EQ(walk.state().failure, kBroken);
  EXPECT_EQ(walk.state().failed_in, StepKind::kCopy);
}

TEST(AdvanceTest, RestartTriesAMergeAgainThatHadFailed) {
  Walk walk;
  walk.Reach("merge vda").On(Failed());
  EXPECT_EQ(walk.running(), "merge vdb");
  walk.On(Restart());
  EXPECT_EQ(walk.running(), "merge vda");
  walk.Finish();
  EXPECT_FALSE(walk.ending().vm_on_overlay);
  EXPECT_EQ(walk.ending().outcome, Outcome::kFailed);
}

// A flush of merged data that failed: told whatever failed before, never tried again, and nothing
// is removed.
TEST(AdvanceTest, LossIsFinal) {
  const absl::Status loss = absl::DataLossError("not flushed");
  Walk walk;
  walk.Reach("copy vda").On(Failed());
  for (int i = 0; i < 5 && walk.running() != "check"; ++i) walk.On(Succeeded());
  walk.On(Failed(loss));
  EXPECT_EQ(walk.state().failure, loss);
  EXPECT_EQ(walk.state().failed_in, StepKind::kCheck);
  EXPECT_TRUE(walk.state().lost());
  walk.On(Restart());
  walk.Finish();
  EXPECT_THAT(walk.done(), ElementsAre("run merge vda", "run merge vdb", "run check", "run discard",
                                       "run discard", "end"));
  EXPECT_TRUE(walk.ending().vm_on_overlay);
}

TEST(AdvanceTest, LossOfTheCopyIsNone) {
  Walk walk;
  walk.Reach("copy vda").On(Failed(absl::DataLossError("a bad sector"))).Finish();
  EXPECT_FALSE(walk.state().lost());
  EXPECT_FALSE(walk.ending().vm_on_overlay);
}

TEST(AdvanceTest, MergeThatFailsAfterACancelIsAFailure) {
  Walk walk;
  walk.Reach("copy vda").On(Cancel()).On(Failed(absl::CancelledError())).On(Failed()).Finish();
  EXPECT_EQ(walk.ending().outcome, Outcome::kFailed);
  EXPECT_TRUE(walk.ending().vm_on_overlay);
  EXPECT_EQ(walk.state().failed_in, StepKind::kMerge);
}

using Only = std::set<StepStatus>;

Only StatusOf(const TaskState& state, StepKind kind) {
  Only all;
  for (const Step& step : state.steps) {
    if (step.kind == kind) all.insert(step.status);
  }
  return all;
}

bool Exports(const TaskState& state) { return !StatusOf(state, StepKind::kExport).empty(); }

// What must hold when a step begins.
void CheckRun(const TaskState& state, int step) {
  ASSERT_EQ(step, state.running());
  const Only done = {StepStatus::kDone};
  const bool exports = Exports(state);
  if (state.steps[step].kind == StepKind::kPublish) {
    const std::vector<StepKind> overlays = {StepKind::kCopy, StepKind::kMerge, StepKind::kCheck,
                                            StepKind::kRemoveOverlay};
    const std::vector<StepKind> sealed = {StepKind::kExport, StepKind::kEndExport, StepKind::kSeal};
    for (StepKind before : exports ? sealed : overlays) ASSERT_EQ(StatusOf(state, before), done);
  }
  // Nobody else writes where we read or remove.
  if (exports &&
      (state.steps[step].kind == StepKind::kSeal || state.steps[step].kind == StepKind::kDiscard)) {
    ASSERT_EQ(StatusOf(state, StepKind::kEndExport), done);
  }
  if (state.steps[step].kind == StepKind::kRemoveOverlay) {
    ASSERT_EQ(StatusOf(state, StepKind::kMerge), done);
    ASSERT_EQ(StatusOf(state, StepKind::kCheck), done);
  }
}

// What must hold when a backup ends.
void CheckEnding(const TaskState& state, const Ending& ending) {
  const Only done = {StepStatus::kDone};
  const Only pending = {StepStatus::kPending};
  ASSERT_TRUE(state.ended);
  const bool published = StatusOf(state, StepKind::kPublish) == done;
  ASSERT_EQ(ending.outcome == Outcome::kDone, published);
  ASSERT_EQ(ending.outcome == Outcome::kFailed, !state.failure.ok());
  const bool discarded = StatusOf(state, StepKind::kDiscard) == done;
  if (Exports(state)) {
    ASSERT_FALSE(ending.vm_on_overlay);
    const bool begun = StatusOf(state, StepKind::kExport) != pending;
    ASSERT_TRUE(begun || !ending.snapshot_taken);
    // Begun means: its end was asked for, and what was written is accounted for.
    ASSERT_EQ(begun, StatusOf(state, StepKind::kEndExport) != pending);
    ASSERT_EQ(begun, published || discarded || ending.files_may_remain);
    ASSERT_FALSE(published && discarded);
    return;
  }
  if (StatusOf(state, StepKind::kSnapshot) == pending) {
    ASSERT_FALSE(ending.snapshot_taken || ending.vm_on_overlay);
    return;
  }
  // Begun means: the merge of every disk was run, and the VM is off the overlay unless that is
  // said.
  ASSERT_FALSE(StatusOf(state, StepKind::kMerge).contains(StepStatus::kPending));
  if (!ending.vm_on_overlay) {
    ASSERT_EQ(StatusOf(state, StepKind::kMerge), done);
    ASSERT_EQ(StatusOf(state, StepKind::kCheck), done);
  }
  // What was written is published, discarded, or said to remain.
  if (StatusOf(state, StepKind::kCopy) != pending) {
    ASSERT_TRUE(published || discarded || ending.files_may_remain);
  }
  ASSERT_FALSE(published && discarded);
}

void CheckTransition(const TaskState& state, const Transition& transition) {
  const TaskState& next = transition.next;
  int running = 0;
  for (const Step& step : next.steps) running += step.status == StepStatus::kRunning ? 1 : 0;
  ASSERT_LE(running, next.ended ? 0 : 1);
  ASSERT_TRUE(!state.ended || (transition.commands.empty() && next == state));
  // What is done is never done again, and a task that failed or was cancelled stays so.
  for (size_t i = 0; i < state.steps.size(); ++i) {
    const bool done = state.steps[i].status == StepStatus::kDone;
    ASSERT_TRUE(!done || next.steps.at(i).status == StepStatus::kDone);
  }
  ASSERT_TRUE((state.failure.ok() || !next.failure.ok()) && (!state.cancelled || next.cancelled));
  for (size_t i = 0; i < transition.commands.size(); ++i) {
    const Command& command = transition.commands[i];
    if (command.kind == Do::kRunStep) {
      ASSERT_EQ(transition.commands.at(i - 1).kind, Do::kJournalIntent);  // the intent comes first
      CheckRun(next, command.step);
    }
    if (command.kind == Do::kEnd) {
      ASSERT_EQ(i + 1, transition.commands.size());
      if (next.kind == TaskKind::kBackup) CheckEnding(next, command.ending);
    }
  }
}

// Every state that any order of events can lead to, and every event in it. A merge that is of class
// kForward, or a publish that is of class kAlways, makes this go red; so does a discard that does
// not wait for the end of an export.
TEST(AdvanceTest, NoOrderOfEventsBreaksARule) {
  const std::vector<TaskEvent> events = {Start(),  Succeeded(), Succeeded(BackupMethod::kExport),
                                         Failed(), Cancel(),    Stop(),
                                         Restart()};
  std::set<std::string> seen;
  std::deque<TaskState> todo = {NewTask(TaskKind::kBackup), NewTask(TaskKind::kScrub)};
  while (!todo.empty()) {
    const TaskState state = todo.front();
    todo.pop_front();
    if (!seen.insert(Text(state)).second) continue;
    for (const TaskEvent& event : events) {
      const Transition transition = Advance(state, event);
      SCOPED_TRACE(absl::StrCat(Text(state), " -> ", static_cast<int>(event.kind), " -> ",
                                Text(transition.next)));
      CheckTransition(state, transition);
      if (HasFatalFailure()) return;
      todo.push_back(transition.next);
    }
  }
  EXPECT_GT(seen.size(), 200u);
}

}  // namespace
}  // namespace vmkeep::executor
