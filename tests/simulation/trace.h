#ifndef VMKEEP_TESTS_SIMULATION_TRACE_H_
#define VMKEEP_TESTS_SIMULATION_TRACE_H_

#include "tests/simulation/fiber.h"
#include "tests/simulation/random.h"
#include "tests/simulation/timeline.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

#include <string>
#include <vector>

namespace vmkeep::sim {

// What was wrong, as tools/sim --json writes it.
struct Wrong {
  std::string point;      // "seed 17, step 4711"
  std::string fault;      // the last one before
  std::string invariant;  // "I1"
  std::string detail;
};

// All that happened, a line each; the same for the same seed. Also where the checkers write.
class Trace {
 public:
  explicit Trace(Timeline& time) : time_(time) {}

  void Add(absl::string_view who, absl::string_view what) {
    lines_.push_back(
        absl::StrFormat("%10.3f %-12s %s", absl::ToDoubleSeconds(time_.now()), who, what));
  }
  void Fault(absl::string_view who, absl::string_view what) {
    last_fault_ = absl::StrCat(who, ": ", what);
    Add(who, absl::StrCat("FAULT ", what));
  }
  // Each invariant's first alone: one that lasts would hide the rest.
  void Report(const std::string& invariant, const std::string& detail) {
    for (const Wrong& known : wrong_) {
      if (known.invariant == invariant) return;
    }
    Add("WRONG", absl::StrCat(invariant, " ", detail));
    wrong_.push_back({"", last_fault_, invariant, detail});
  }

  const std::vector<std::string>& lines() const { return lines_; }
  const std::vector<Wrong>& wrong() const { return wrong_; }
  const std::string& last_fault() const { return last_fault_; }

 private:
  Timeline& time_;
  std::string last_fault_;
  std::vector<std::string> lines_;
  std::vector<Wrong> wrong_;
};

// A defect put into the models on purpose: what proves that a checker can go red.
enum class Mutant {
  kNone,
  kNeverMerges,           // I1
  kMergeLosesWrite,       // I2
  kCopyReadsTheOverlay,   // I3
  kPublishDoesNothing,    // I5
  kForgetsRequestIds,     // I6
  kAcceptsOldEpochs,      // I7
  kDiscardDoesNothing,    // I8
  kRemovesWhatIsForeign,  // I8
  kScrubDoesNothing,      // I9
  kScrubTakesAnother,     // I9
  kHungHostStopsAll,      // I12
};

// What every part of a simulation shares.
struct Base {
  Base(uint64_t seed, Mutant defect)
      : random(seed), time(random), clock(time), trace(time), mutant(defect) {}

  Random random;
  Timeline time;
  SimClock clock;
  Trace trace;
  const Mutant mutant;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_TRACE_H_
