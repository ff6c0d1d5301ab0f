#include "controller/access/decision.h"
#include "controller/access/identity.h"
#include "vmkeep/v1/backup_service.pb.h"
#include "vmkeep/v1/inventory_service.pb.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

// Every method of the public API that is linked in, by its full name.
std::vector<std::string> AllMethods() {
  std::vector<std::string> methods;
  for (const auto* file : {::vmkeep::v1::CreateBackupRequest::descriptor()->file(),
                           ::vmkeep::v1::RegisterHostRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        methods.push_back(absl::StrCat("/", service->full_name(), "/", service->method(m)->name()));
      }
    }
  }
  return methods;
}

// Red when a line of the table is taken out, or a method is added to a service without one.
TEST(DecisionTest, EveryMethodHasAnEntry) {
  EXPECT_GE(AllMethods().size(), 11U);
  for (const std::string& method : AllMethods()) EXPECT_TRUE(HasEntry(method)) << method;
}

TEST(DecisionTest, WhatHasNoEntryIsDeniedToEverybody) {
  const Caller caller{"root", kLocalProject, Role::kOperator};
  for (const char* method :
       {"", "/", "/vmkeep.v1.BackupService/DropEverything", "/vmkeep.v1.BackupService/",
        "vmkeep.v1.BackupService/GetBackup", "/vmkeep.v1.BackupService/GetBackup "}) {
    EXPECT_EQ(Authorize(caller, method).code(), absl::StatusCode::kPermissionDenied) << method;
  }
}

TEST(DecisionTest, AUserMayNotTouchHostsAndRepositories) {
  const Caller user{"web-ui", kLocalProject, Role::kUser};
  const Caller staff{"ops", kLocalProject, Role::kOperator};
  for (const std::string& method : AllMethods()) {
    const auto is = [&](const char* name) { return method.find(name) != std::string::npos; };
    const bool staff_only =
        is("/RegisterHost") || is("/UpdateHost") || is("/DeleteHost") || is("/InitRepository");
    EXPECT_EQ(Authorize(user, method).ok(), !staff_only) << method;
    EXPECT_TRUE(Authorize(staff, method).ok()) << method;
  }
}

TEST(IdentityTest, LocalPeersAreTheLocalOperator) {
  for (const char* address : {"unix:", "unix:/run/vmkeep/controller.sock", "ipv4:127.0.0.1:4711",
                              "ipv4:127.3.2.1:1", "ipv6:[::1]:4711", "ipv6:%5B::1%5D:4711"}) {
    const auto caller = Identify({address, false, ""}, {});
    ASSERT_TRUE(caller.ok()) << address;
    EXPECT_EQ(caller->principal, "local");
    EXPECT_EQ(caller->project, "local");
    EXPECT_EQ(caller->role, Role::kOperator);
  }
}

TEST(IdentityTest, AnybodyElseWithoutACertificateIsNobody) {
  for (const char* address : {"", "ipv4:10.0.0.1:4711", "ipv4:1.127.0.1:1", "ipv6:[2001:db8::1]:1",
                              "ipv6:[::2]:1", "inproc", "unix-abstract:x"}) {
    EXPECT_EQ(Identify({address, false, "admin"}, {{"admin"}}).status().code(),
              absl::StatusCode::kUnauthenticated)
        << address;
  }
}

TEST(IdentityTest, ACertificateIsItsCommonName) {
  const AccessPolicy policy{{"ops"}};
  EXPECT_EQ(Identify({"ipv4:10.0.0.1:1", true, "web-ui"}, policy)->principal, "web-ui");
  EXPECT_EQ(Identify({"ipv4:10.0.0.1:1", true, "web-ui"}, policy)->role, Role::kUser);
  EXPECT_EQ(Identify({"ipv4:10.0.0.1:1", true, "ops"}, policy)->role, Role::kOperator);
  // Loopback with a certificate is whom the certificate names, not "local".
  EXPECT_EQ(Identify({"ipv4:127.0.0.1:1", true, "web-ui"}, policy)->principal, "web-ui");
  EXPECT_EQ(Identify({"ipv4:127.0.0.1:1", true, ""}, policy).status().code(),
            absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace vmkeep::controller
