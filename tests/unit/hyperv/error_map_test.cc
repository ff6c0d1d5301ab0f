#include "executor/hypervisor/hyperv/error_map.h"

#include "common/error.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::executor::hyperv {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::StatusIs;

const ScriptContext kExport{.doing = "export the VM", .vm = "web", .exports = true};
const ScriptContext kLook{.doing = "look at the VM", .vm = "web", .exports = false};

wire::Error Said(uint32_t code, const std::string& reason, const std::string& message = "") {
  wire::Error error;
  error.set_code(code);
  error.set_reason(reason);
  error.set_message(message);
  return error;
}

struct Row {
  uint32_t code;
  const char* script_reason;
  StatusCode status;
  const char* reason;
};

void ExpectRows(const std::vector<Row>& rows, const ScriptContext& context) {
  for (const Row& row : rows) {
    // The text is of another language, and says something else.
    const absl::Status status = FromScript(
        Said(row.code, row.script_reason, "Der Datenträger ist voll (0x80070070)"), context);
    EXPECT_THAT(status, AllOf(StatusIs(row.status), HasReason(row.reason)))
        << row.code << " " << row.script_reason;
    if (row.code != 0 && row.script_reason == std::string("JOB_FAILED")) {
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr(absl::StrCat("0x", absl::Hex(row.code, absl::kZeroPad8))));
    }
  }
}

TEST(ErrorMapTest, OfAnExport) {
  ExpectRows({{0x80070005, "JOB_FAILED", StatusCode::kPermissionDenied, "EXPORT_ACCESS_DENIED"},
              {32769, "JOB_FAILED", StatusCode::kPermissionDenied, "EXPORT_ACCESS_DENIED"},
              {0x80070070, "JOB_FAILED", StatusCode::kResourceExhausted, "REPOSITORY_FULL"},
              {0x80070027, "JOB_FAILED", StatusCode::kResourceExhausted, "REPOSITORY_FULL"},
              {0x80070035, "JOB_FAILED", StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE"},
              {0x8007003B, "JOB_FAILED", StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE"},
              {0x80070040, "JOB_FAILED", StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE"},
              {0x80070043, "JOB_FAILED", StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE"},
              {0x800704CF, "JOB_FAILED", StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE"},
              {0, "NOT_A_FOLDER", StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE"},
              {32772, "JOB_FAILED", StatusCode::kUnavailable, "HYPERVISOR_UNAVAILABLE"},
              {32774, "JOB_FAILED", StatusCode::kUnavailable, "VM_BUSY"},
              {32775, "JOB_FAILED", StatusCode::kFailedPrecondition, "VM_INVALID_STATE"},
              {32777, "JOB_FAILED", StatusCode::kUnavailable, "HYPERVISOR_UNAVAILABLE"},
              {0x800423F4, "JOB_FAILED", StatusCode::kFailedPrecondition, "QUIESCE_FAILED"},
              {0, "NO_HYPERV", StatusCode::kFailedPrecondition, "HYPERV_MISSING"},
              {0x80070005, "NO_HYPERV", StatusCode::kFailedPrecondition, "HYPERV_MISSING"},
              {0, "NOT_FOUND", StatusCode::kNotFound, "VM_NOT_FOUND"},
              {0, "BUSY", StatusCode::kUnavailable, "VM_BUSY"},
              {0, "STILL_EXPORTING", StatusCode::kUnavailable, "EXPORT_NOT_ENDED"},
              {0x80004005, "JOB_FAILED", StatusCode::kInternal, "HYPERVISOR_ERROR"},
              {0, "BAD_REQUEST", StatusCode::kInternal, "HYPERVISOR_ERROR"},
              {0, "SOMETHING_NEW", StatusCode::kInternal, "HYPERVISOR_ERROR"},
              {0, "", StatusCode::kInternal, "HYPERVISOR_ERROR"},
              // No HRESULT of Windows' own: 5 and 112 alone are return values of something else.
              {5, "JOB_FAILED", StatusCode::kInternal, "HYPERVISOR_ERROR"},
              {112, "JOB_FAILED", StatusCode::kInternal, "HYPERVISOR_ERROR"},
              {0x80030070, "JOB_FAILED", StatusCode::kInternal, "HYPERVISOR_ERROR"}},
             kExport);
}

// There the share is one of the VM's own disks, and the rights are those of the executor.
TEST(ErrorMapTest, WhatOnlyLooksNamesNoRepository) {
  ExpectRows({{0x80070005, "FAILED", StatusCode::kPermissionDenied, "HYPERV_ACCESS_DENIED"},
              {32769, "FAILED", StatusCode::kPermissionDenied, "HYPERV_ACCESS_DENIED"},
              {0x80070035, "FAILED", StatusCode::kUnavailable, "HYPERVISOR_UNAVAILABLE"},
              {0x80070040, "FAILED", StatusCode::kUnavailable, "HYPERVISOR_UNAVAILABLE"},
              {0x80070070, "FAILED", StatusCode::kInternal, "HYPERVISOR_ERROR"}},
             kLook);
}

TEST(ErrorMapTest, TheRemedyOfAccessDeniedIsTheComputerAccount) {
  const absl::Status status =
      FromScript(Said(0x80070005, "JOB_FAILED", "Zugriff verweigert"), kExport);
  EXPECT_THAT(std::string(status.message()), HasSubstr("DOMAIN\\HOST$"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Zugriff verweigert"));
}

TEST(ErrorMapTest, AnAmbiguousNameIsAnsweredWithTheIds) {
  wire::Error error = Said(0, "AMBIGUOUS");
  error.add_ids("id-1");
  error.add_ids("id-2");
  const absl::Status status = FromScript(error, kLook);
  EXPECT_THAT(status, AllOf(StatusIs(StatusCode::kFailedPrecondition), HasReason("VM_AMBIGUOUS")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("id-1, id-2"));
  EXPECT_EQ(ErrorDetails(status)["ids"], "id-1, id-2");
}

TEST(ErrorMapTest, AMessageIsQuotedOnOneLineAndCut) {
  const absl::Status status =
      FromScript(Said(0x80004005, "FAILED", "a\r\nb\x01" + std::string(10000, 'c')), kLook);
  EXPECT_LT(status.message().size(), 500u);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a  b cc"));
}

}  // namespace
}  // namespace vmkeep::executor::hyperv
