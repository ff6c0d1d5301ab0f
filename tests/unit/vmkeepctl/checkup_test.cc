#include "tools/vmkeepctl/checkup.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1'764'000'000);

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(CheckupTest, CertificatesEndInThreeSteps) {
  EXPECT_EQ(CheckCertificate("c", kNow + absl::Hours(24 * 31), kNow).level, Level::kOk);
  const Check soon = CheckCertificate("c", kNow + absl::Hours(24 * 29), kNow);
  EXPECT_EQ(soon.level, Level::kWarn);
  EXPECT_THAT(soon.message, HasSubstr("29 days left"));
  const Check over = CheckCertificate("c", kNow - absl::Seconds(1), kNow);
  EXPECT_EQ(over.level, Level::kFail);
  EXPECT_THAT(over.message, HasSubstr("it is over"));
  EXPECT_NE(over.remedy, "");
}

TEST(CheckupTest, AClockIsOnlyOffByWhatTheJourneyDoesNotExplain) {
  // The answer was 10 s under way: anything in between is possible.
  const absl::Time before = kNow;
  const absl::Time after = kNow + absl::Seconds(10);
  EXPECT_EQ(CheckClock({before, before, after}).level, Level::kOk);
  EXPECT_EQ(CheckClock({after + absl::Seconds(1), before, after}).level, Level::kOk);
  const Check ahead = CheckClock({after + absl::Seconds(5), before, after});
  EXPECT_EQ(ahead.level, Level::kWarn);
  EXPECT_EQ(ahead.message, "the controller's is 5 s ahead of ours");
  const Check behind = CheckClock({before - absl::Minutes(2), before, after});
  EXPECT_EQ(behind.level, Level::kFail);
  EXPECT_EQ(behind.message, "the controller's is 2 m 00 s behind ours");
}

TEST(CheckupTest, ATimeStampInOurPastTellsNothing) {
  EXPECT_THAT(CheckClockBy(kNow - absl::Hours(9), kNow).message,
              HasSubstr("could not be compared"));
  EXPECT_THAT(CheckClockBy(std::nullopt, kNow).message, HasSubstr("could not be compared"));
  EXPECT_EQ(CheckClockBy(kNow + absl::Minutes(3), kNow).level, Level::kFail);
}

TEST(CheckupTest, Hosts) {
  const auto check = [](const std::string& text) {
    return CheckHost(Parse<v1::Host>(absl::StrCat("id: 'kvm-1' hypervisor: 'libvirt' ", text)),
                     "1.0");
  };
  const Check well = check("availability: ONLINE version: '1.0'");
  EXPECT_EQ(well.level, Level::kOk);
  EXPECT_EQ(well.message, "ONLINE, libvirt answers, version 1.0");
  const Check older = check("availability: ONLINE version: '0.9'");
  EXPECT_EQ(older.level, Level::kWarn);
  EXPECT_THAT(older.message, HasSubstr("version 0.9, this vmkeepctl is 1.0"));
  const Check draining = check("availability: ONLINE version: '1.0' draining: true");
  EXPECT_EQ(draining.level, Level::kWarn);
  EXPECT_THAT(draining.remedy, HasSubstr("vmkeepctl host undrain kvm-1"));
  const Check deaf =
      check("availability: ONLINE version: '1.0' message: 'its VMs cannot be listed'");
  EXPECT_EQ(deaf.level, Level::kFail);
  EXPECT_THAT(deaf.message,
              AllOf(HasSubstr("its VMs cannot be listed"), Not(HasSubstr("answers"))));
  EXPECT_THAT(deaf.remedy, HasSubstr("libvirtd"));
  const Check refused = check("availability: REFUSED version: '1.0' message: 'another\\nexecutor'");
  EXPECT_EQ(refused.level, Level::kFail);
  EXPECT_THAT(refused.message, HasSubstr(": another?executor"));
  EXPECT_THAT(refused.remedy, HasSubstr("vmkeepctl host confirm kvm-1"));
  EXPECT_EQ(check("availability: UNREACHABLE").level, Level::kFail);
  // A state of a newer controller is no reason to say that all is well.
  EXPECT_EQ(check("availability: 77").level, Level::kFail);
}

TEST(CheckupTest, Repositories) {
  const auto check = [](const std::string& text) {
    return CheckRepository(
        Parse<v1::Repository>(absl::StrCat(
            "host_id: 'kvm-1' slot: 2 path: '/mnt/backup-s' total_bytes: 1000 ", text)),
        kNow);
  };
  const std::string probed = " probe_time { seconds: 1763999970 } ";
  const Check well = check(absl::StrCat("health: HEALTHY free_bytes: 500", probed));
  EXPECT_EQ(well.level, Level::kOk);
  EXPECT_EQ(well.subject, "repository 2 of host kvm-1 (/mnt/backup-s)");
  EXPECT_THAT(well.message, HasSubstr("probed 30 s ago"));
  const Check with_one_hanging =
      check(absl::StrCat("health: HEALTHY free_bytes: 500 message: '1 process hangs'", probed));
  EXPECT_EQ(with_one_hanging.level, Level::kWarn);
  EXPECT_THAT(with_one_hanging.message, HasSubstr("1 process hangs"));
  EXPECT_THAT(with_one_hanging.remedy, HasSubstr("umount"));
  // What was promised is not free.
  EXPECT_EQ(
      check(absl::StrCat("health: HEALTHY free_bytes: 500 reserved_bytes: 450", probed)).level,
      Level::kWarn);
  EXPECT_EQ(
      check(absl::StrCat("health: HEALTHY free_bytes: 500 reserved_bytes: 600", probed)).level,
      Level::kFail);
  EXPECT_EQ(check("health: HEALTHY free_bytes: 500").level, Level::kWarn);
  EXPECT_EQ(check("health: HEALTHY free_bytes: 500 probe_time { seconds: 1763999000 }").level,
            Level::kWarn);
  // Old news do not make a full repository look better.
  const Check both = check("health: HEALTHY probe_time { seconds: 1763999000 }");
  EXPECT_EQ(both.level, Level::kFail);
  EXPECT_THAT(both.remedy, HasSubstr("or make the repository larger; the last probe is old"));
  const Check ill = check("health: ILL message: 'stale handle'");
  EXPECT_EQ(ill.level, Level::kFail);
  EXPECT_THAT(ill.message, HasSubstr("ILL: stale handle"));
  EXPECT_THAT(check("health: UNINITIALIZED").remedy, HasSubstr("vmkeepctl repo init kvm-1 2"));
}

TEST(CheckupTest, Vms) {
  EXPECT_FALSE(CheckVm(Parse<v1::Vm>("id: 'a'"), kNow).has_value());
  EXPECT_FALSE(CheckVm(Parse<v1::Vm>("id: 'a' overlay { since { seconds: 1763999000 } }"), kNow)
                   .has_value());
  const auto old =
      CheckVm(Parse<v1::Vm>("id: 'a' overlay { since { seconds: 1763900000 } }"), kNow);
  ASSERT_TRUE(old.has_value());
  EXPECT_EQ(old->level, Level::kWarn);
  const auto stuck =
      CheckVm(Parse<v1::Vm>("id: 'a' overlay { needs_attention: true remedy: 'do it' }"), kNow);
  ASSERT_TRUE(stuck.has_value());
  EXPECT_EQ(stuck->level, Level::kFail);
  EXPECT_EQ(stuck->remedy, "do it");
  const auto alert = CheckVm(
      Parse<v1::Vm>("id: 'a' overlay { needs_attention: true files: '/d/a.vmkeep-1.qcow2' remedy: "
                    "'make room' reason: 'MERGE_FAILED' message: 'no space left' }"),
      kNow);
  ASSERT_TRUE(alert.has_value());
  EXPECT_THAT(alert->message, HasSubstr("runs on an overlay"));
  EXPECT_THAT(alert->message, HasSubstr("(/d/a.vmkeep-1.qcow2); MERGE_FAILED: no space left"));
  const auto kept = CheckVm(
      Parse<v1::Vm>("id: 'a' overlay { needs_attention: true files_only: true remedy: 'look' }"),
      kNow);
  ASSERT_TRUE(kept.has_value());
  EXPECT_THAT(kept->message, Not(HasSubstr("runs on an overlay")));
  const auto twice = CheckVm(Parse<v1::Vm>("id: 'a' candidate_host_ids: ['kvm-1', 'kvm-2']"), kNow);
  ASSERT_TRUE(twice.has_value());
  EXPECT_THAT(twice->message, HasSubstr("kvm-1, kvm-2"));
}

TEST(CheckupTest, UnfinishedBackups) {
  EXPECT_FALSE(CheckUnfinished(Parse<v1::Backup>("state: BUILDING create_time { seconds: "
                                                 "1763999000 }"),
                               kNow)
                   .has_value());
  EXPECT_TRUE(CheckUnfinished(Parse<v1::Backup>("state: BUILDING create_time { seconds: "
                                                "1763900000 }"),
                              kNow)
                  .has_value());
  const auto held = CheckUnfinished(
      Parse<v1::Backup>("id: 'b1' state: BUILDING create_time { seconds: 1763999000 } conditions { "
                        "type: 'HOST_UNREACHABLE' }"),
      kNow);
  ASSERT_TRUE(held.has_value());
  EXPECT_THAT(held->message, HasSubstr("HOST_UNREACHABLE"));
  EXPECT_THAT(held->remedy, HasSubstr("vmkeepctl backup watch b1"));
}

TEST(CheckupTest, TextAndJsonSayTheSame) {
  const std::vector<Check> checks = {{Level::kOk, "a", "fine", ""},
                                     {Level::kFail, "b", "broken", "mend it"}};
  EXPECT_EQ(CheckupText(checks),
            "ok    a: fine\nfail  b: broken\n      -> mend it\n1 ok, 0 warn, 1 fail\n");
  EXPECT_EQ(CheckupJson(checks),
            R"({"checks": [
  {"level": "ok", "subject": "a", "message": "fine", "remedy": ""},
  {"level": "fail", "subject": "b", "message": "broken", "remedy": "mend it"}
 ],
 "ok": 1, "warn": 0, "fail": 1}
)");
}

}  // namespace
}  // namespace vmkeep::ctl
