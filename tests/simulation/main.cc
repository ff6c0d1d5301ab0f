// Simulates the controller, its executors and all that they work with, seed after seed.
// tools/sim says how to call it.
#include "common/log.h"
#include "tests/simulation/simulation.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vmkeep::sim {
namespace {

constexpr size_t kTraceLines = 60;
constexpr size_t kShownInFull = 3;

struct Options {
  int64_t seeds = 1000;
  uint64_t first = 1;
  bool one = false;  // --seed: this one, with its whole trace
  std::string json;
};

bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (i + 1 >= argc) return false;
    const char* value = argv[++i];
    if (flag == "--seeds") {
      if (!absl::SimpleAtoi(value, &options.seeds) || options.seeds < 1) return false;
    } else if (flag == "--first") {
      if (!absl::SimpleAtoi(value, &options.first)) return false;
    } else if (flag == "--seed") {
      if (!absl::SimpleAtoi(value, &options.first)) return false;
      options.one = true;
    } else if (flag == "--json") {
      options.json = value;
    } else {
      return false;
    }
  }
  if (options.one) options.seeds = 1;
  return true;
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string Json(int64_t points, int64_t held, const std::vector<Wrong>& wrong) {
  std::string text = absl::StrCat("{\"points\":", points, ",\"held\":", held, ",\"wrong\":[");
  for (size_t i = 0; i < wrong.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", "{\"point\":", Quoted(wrong[i].point),
                    ",\"fault\":", Quoted(wrong[i].fault),
                    ",\"invariant\":", Quoted(wrong[i].invariant),
                    ",\"detail\":", Quoted(wrong[i].detail), "}");
  }
  return text + "]}\n";
}

// The trace up to the first thing that was wrong.
void PrintTrace(const Outcome& outcome, bool whole) {
  size_t end = 0;
  while (end < outcome.trace.size() && !absl::StrContains(outcome.trace[end], " WRONG ")) ++end;
  end = std::min(end + 1, outcome.trace.size());
  if (whole) end = outcome.trace.size();
  const size_t begin = whole || end < kTraceLines ? 0 : end - kTraceLines;
  for (size_t i = begin; i < end; ++i) std::puts(outcome.trace[i].c_str());
}

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: %s [--seeds N] [--first S] [--seed S] [--json FILE]\n", argv[0]);
    return 2;
  }
  log::Init("vmkeep-sim", log::Level::kError);
  const auto began = std::chrono::steady_clock::now();
  int64_t held = 0;
  int64_t steps = 0;
  size_t shown = 0;
  std::map<std::string, int> ended;
  std::vector<Wrong> wrong;
  for (int64_t i = 0; i < options.seeds; ++i) {
    const uint64_t seed = options.first + static_cast<uint64_t>(i);
    const Outcome outcome = Simulate({.seed = seed});
    steps += outcome.steps;
    for (const auto& [state, count] : outcome.ended) ended[state] += count;
    held += outcome.wrong.empty() ? 1 : 0;
    if (options.one || (!outcome.wrong.empty() && shown++ < kShownInFull)) {
      PrintTrace(outcome, options.one);
    }
    for (const Wrong& each : outcome.wrong) {
      std::printf("WRONG %s %s: %s (last fault: %s)\n  see it again: tools/sim --seed %llu\n",
                  each.point.c_str(), each.invariant.c_str(), each.detail.c_str(),
                  each.fault.c_str(), static_cast<unsigned long long>(seed));
      wrong.push_back(each);
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("seeds %lld to %llu: %lld of %lld held; %lld steps; records at the end:",
              static_cast<long long>(options.first),
              static_cast<unsigned long long>(options.first) + options.seeds - 1,
              static_cast<long long>(held), static_cast<long long>(options.seeds),
              static_cast<long long>(steps));
  for (const auto& [state, count] : ended) std::printf(" %s %d", state.c_str(), count);
  std::printf("; %.1f s, %.1f seeds/s\n", seconds, static_cast<double>(options.seeds) / seconds);
  if (!options.json.empty()) std::ofstream(options.json) << Json(options.seeds, held, wrong);
  return wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace vmkeep::sim

int main(int argc, char** argv) { return vmkeep::sim::Main(argc, argv); }
