// vmkeepctl doctor as a process: what is asked, what one failed area does to the others, TLS.

#include "common/error.h"
#include "common/version.h"
#include "tests/unit/vmkeepctl/authority.h"
#include "tests/unit/vmkeepctl/process_fixture.h"

#include "absl/time/clock.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace vmkeep::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

v1::Host Online(const std::string& id) {
  v1::Host host;
  host.set_id(id);
  host.set_hypervisor("libvirt");
  host.set_version(kVersion);
  host.set_availability(v1::Host::ONLINE);
  return host;
}

v1::Vm Quiet(const std::string& uuid) {
  v1::Vm vm;
  vm.set_id(uuid);
  vm.set_uuid(uuid);
  vm.set_name("web");
  vm.set_host_id("kvm-1");
  return vm;
}

class DoctorTest : public ProcessTest {
 protected:
  DoctorTest() {
    controller_.SetHosts({Online("kvm-1"), Online("kvm-2")});
    controller_.SetVms({Quiet("6f0f5b1e-0000-4000-8000-000000000001")});
    v1::Repository repository;
    repository.set_host_id("kvm-1");
    repository.set_slot(1);
    repository.set_path("/mnt/backup-p");
    repository.set_health(v1::Repository::HEALTHY);
    repository.set_total_bytes(100LL << 30);
    repository.set_free_bytes(50LL << 30);
    repository.mutable_probe_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
    controller_.SetRepositories({repository});
    controller_.SetClock(absl::Now());
  }
};

TEST_F(DoctorTest, AllIsWell) {
  const ChildResult result = Run({"doctor"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(
      result.out,
      AllOf(StartsWith(absl::StrCat("ok    controller: answers at ", controller_.address(), "\n")),
            HasSubstr(absl::StrCat("ok    host kvm-2: ONLINE, libvirt answers, version ", kVersion,
                                   "\n")),
            HasSubstr("ok    repository 1 of host kvm-1 (/mnt/backup-p): HEALTHY, 50% of 100 GiB"),
            HasSubstr("ok    vms: 1 without"), HasSubstr("ok    backups: 0 under way"),
            HasSubstr("ok    clock: ours and the controller's agree\n"),
            HasSubstr("\n7 ok, 0 warn, 0 fail\n")));
  EXPECT_THAT(result.out, Not(HasSubstr("certificate")));
  EXPECT_THAT(result.err, IsEmpty());
  // It asked, and changed nothing.
  ASSERT_EQ(controller_.creates().size(), 1U);
  EXPECT_TRUE(controller_.creates()[0].validate_only());
}

TEST_F(DoctorTest, WhatFailedEndsWith1) {
  v1::Vm stuck = Quiet("6f0f5b1e-0000-4000-8000-000000000001");
  stuck.mutable_overlay()->set_needs_attention(true);
  stuck.mutable_overlay()->set_remedy("merge it");
  controller_.SetVms({stuck});
  const ChildResult text = Run({"doctor"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out, AllOf(HasSubstr("fail  vm web: runs on an overlay"),
                              HasSubstr("\n      -> merge it\n")));
  EXPECT_EQ(text.err, "vmkeepctl: 1 check failed (UNHEALTHY)\n");

  const ChildResult json = Run({"doctor", "--json"});
  EXPECT_EQ(json.exit_code, 1);
  const google::protobuf::Struct parsed = ParseJson(json.out);
  EXPECT_EQ(parsed.fields().at("fail").number_value(), 1);
  EXPECT_EQ(parsed.fields()
                .at("checks")
                .list_value()
                .values(0)
                .struct_value()
                .fields()
                .at("level")
                .string_value(),
            "ok");
  EXPECT_EQ(Field(ParseJson(json.err), "reason"), "UNHEALTHY");
}

TEST_F(DoctorTest, OneAreaThatCannotBeAskedDoesNotHideTheOthers) {
  controller_.SetHosts({Online("kvm-1")});
  // Hosts are asked first, then repositories.
  controller_.FailNext(absl::OkStatus());
  controller_.FailNext(MakeError(absl::StatusCode::kInternal, "DATABASE_ERROR", "disk is sick"));
  const ChildResult result = Run({"doctor"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("fail  repositories: disk is sick\n"),
                                HasSubstr("ok    vms: 1 without"), HasSubstr("ok    clock: ")));
}

TEST_F(DoctorTest, AnEmptyFleetIsSaidToBeEmpty) {
  controller_.SetHosts({});
  controller_.SetVms({});
  controller_.SetRepositories({});
  const ChildResult result = Run({"doctor"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, AllOf(HasSubstr("warn  hosts: none is registered\n"),
                                HasSubstr("warn  repositories: no host reports one\n"),
                                HasSubstr("warn  clock: the controller's could not be compared")));
}

TEST_F(DoctorTest, WithoutAControllerThatIsTheWholeStory) {
  const ChildResult result = Run({"--server", "unix:/tmp/vmkeepctl-nobody-here", "doctor"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(StartsWith("fail  controller: the controller at unix:/tmp/"),
                                HasSubstr("see that vmkeep-controller runs"),
                                HasSubstr("\n0 ok, 0 warn, 1 fail\n")));
}

TEST_F(DoctorTest, ClocksThatDifferAreTold) {
  controller_.SetClock(absl::Now() - absl::Hours(1));
  const ChildResult result = Run({"doctor"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("fail  clock: the controller's is "), HasSubstr(" behind ours\n")));
}

TEST_F(DoctorTest, CertificatesOfBothSides) {
  std::string folder = "/tmp/vmkeepctl-tls-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const Authority authority(folder, "ca");
  const TlsFiles server = authority.Issue("controller", "IP:127.0.0.1");
  const TlsFiles client = authority.Issue("engineer", "DNS:engineer");
  const std::string address = controller_.ServeTls(server);
  const ChildResult result = Run({"--server", address, "--tls-ca", client.ca, "--tls-cert",
                                  client.cert, "--tls-key", client.key, "doctor"});
  std::filesystem::remove_all(folder);
  // Both end within two days.
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("warn  our certificate: valid until "),
                                HasSubstr("warn  the controller's certificate: valid until "),
                                HasSubstr(": 1 day left\n")));
}

}  // namespace
}  // namespace vmkeep::ctl
