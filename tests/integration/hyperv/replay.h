#ifndef VMKEEP_TESTS_INTEGRATION_HYPERV_REPLAY_H_
#define VMKEEP_TESTS_INTEGRATION_HYPERV_REPLAY_H_

#include "executor/hypervisor/hyperv/hyperv_hypervisor.h"
#include "tests/fakes/hyperv/fake_scripts.h"
#include "tests/support/temp_dir.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

namespace vmkeep::executor {

inline constexpr char kVm[] = "6b29fc40-ca47-1067-b31d-00dd010662da";

// Scripts that replay tests/fixtures/hyperv/*.jsonl, with deadlines for a test.
class Replay {
 public:
  // Which transcript the script plays from now on, also for a hypervisor that is open.
  void Play(absl::string_view script, absl::string_view transcript) {
    const std::string from = absl::StrCat(VMKEEP_TESTS, "/fixtures/hyperv/", transcript, ".jsonl");
    const std::string text = test::ReadFile(from);
    EXPECT_NE(text, "") << from;
    EXPECT_TRUE(test::WriteFile(PathOf(script), text));
  }

  // What the scripts read from stdin, each line after the script's name.
  std::string Log() const { return test::ReadFile(folder_.path("log")); }

  hyperv::RunnerOptions runner() const {
    hyperv::RunnerOptions options;
    options.interpreter = VMKEEP_TESTS "/fakes/hyperv/transcript_host.py";
    options.scripts = scripts_.folder();
    options.start_deadline = start_deadline;
    options.cancel_grace = absl::Milliseconds(500);
    options.exit_grace = absl::Milliseconds(500);
    options.environment.emplace_back("VMKEEP_TRANSCRIPT_LOG", folder_.path("log"));
    for (const absl::string_view script : {"list-vms", "inspect-vm", "export-vm", "end-export"}) {
      options.environment.emplace_back(
          absl::StrCat("VMKEEP_TRANSCRIPT_",
                       absl::AsciiStrToUpper(absl::StrReplaceAll(script, {{"-", "_"}}))),
          PathOf(script));
    }
    return options;
  }

  HyperVOptions options() const {
    HyperVOptions options;
    options.runner = runner();
    options.digests = scripts_.digests();
    options.look_deadline = absl::Seconds(20);
    options.end_wait = absl::Seconds(1);
    options.poll_period = absl::Milliseconds(20);
    options.export_limits = limits;
    return options;
  }

  // Null after a failure that the test has seen.
  std::unique_ptr<Hypervisor> Open() {
    Play("list-vms", "list-one-vm");
    absl::StatusOr<std::unique_ptr<Hypervisor>> opened = HyperVHypervisor::Open(options());
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  const test::FakeScripts& scripts() const { return scripts_; }

  // Long enough for a machine under load; a test of the limit itself sets it short.
  absl::Duration start_deadline = absl::Seconds(20);
  hyperv::ExportLimits limits = {.begin = absl::Seconds(20), .silence = absl::Seconds(20)};

 private:
  std::string PathOf(absl::string_view script) const {
    return folder_.path(absl::StrCat(script, ".jsonl"));
  }
  test::TempDir folder_;
  test::FakeScripts scripts_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_TESTS_INTEGRATION_HYPERV_REPLAY_H_
