#include "common/status_macros.h"
#include "common/version.h"
#include "tools/vmkeepctl/certificate.h"
#include "tools/vmkeepctl/checkup.h"
#include "tools/vmkeepctl/command.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::ctl {
namespace {

constexpr int kPageSize = 1000;

struct DoctorOptions {};

void DescribeDoctor(CLI::App&, DoctorOptions&) {}

// All pages of a list. `request` has a page_size; `take` keeps what a page holds.
template <typename Request, typename List, typename Take>
absl::Status ForEachPage(Request request, const List& list, const Take& take) {
  do {
    VMKEEP_ASSIGN_OR_RETURN(const auto page, list(request));
    take(page);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

// Looks at one area after the other. What cannot be asked is a failed check, and the rest goes on.
class Doctor {
 public:
  explicit Doctor(Client& client) : client_(client) {}

  // INTERRUPTED, or OK.
  absl::Status Run() {
    OurCertificate();
    if (absl::Status asked = Hosts(); !asked.ok()) return asked;
    if (!reached_) return absl::OkStatus();
    TheirCertificate();
    for (const auto area : {&Doctor::Repositories, &Doctor::Vms, &Doctor::Backups}) {
      if (absl::Status asked = (this->*area)(); !asked.ok()) return asked;
    }
    return Clock();
  }
  const std::vector<Check>& checks() const { return checks_; }

 private:
  // Turns what an area could not be asked for into a check; only an interrupt goes on.
  absl::Status Noted(absl::string_view area, const absl::Status& status,
                     const std::string& remedy) {
    if (status.ok() || absl::IsCancelled(status)) return status;
    checks_.push_back({Level::kFail, std::string(area), Printable(status.message()), remedy});
    return absl::OkStatus();
  }

  bool UsesTls() const {
    return !client_.options().tls.cert.empty() &&
           !absl::StartsWith(client_.options().server, "unix:");
  }

  void Certificate(absl::string_view subject, const std::string& pem) {
    const absl::StatusOr<absl::Time> expiry = CertificateExpiry(pem);
    if (expiry.ok()) return checks_.push_back(CheckCertificate(subject, *expiry, absl::Now()));
    checks_.push_back({Level::kFail, std::string(subject), Printable(expiry.status().message()),
                       "see that the file holds one in PEM"});
  }

  void OurCertificate() {
    if (!UsesTls()) return;
    std::ifstream file(client_.options().tls.cert);
    Certificate("our certificate", {std::istreambuf_iterator<char>(file), {}});
  }

  void TheirCertificate() {
    if (UsesTls()) Certificate("the controller's certificate", client_.server_certificate());
  }

  void Saw(const google::protobuf::Timestamp& time) {
    const absl::Time seen = ToTime(time);
    newest_ = std::max(newest_.value_or(seen), seen);
  }

  absl::Status Hosts() {
    v1::ListHostsRequest request;
    request.set_page_size(kPageSize);
    std::vector<Check> hosts;
    const absl::Status asked = ForEachPage(
        request, [this](const auto& page) { return client_.ListHosts(page); },
        [this, &hosts](const v1::ListHostsResponse& page) {
          for (const v1::Host& host : page.hosts()) {
            hosts.push_back(CheckHost(host, kVersion));
            if (host.has_last_seen_time()) Saw(host.last_seen_time());
          }
        });
    reached_ = asked.ok();
    if (!reached_) {
      return Noted("controller", asked,
                   "see that vmkeep-controller runs, and that --server and the --tls files are "
                   "right");
    }
    checks_.push_back({Level::kOk, "controller",
                       absl::StrCat("answers at ", Printable(client_.options().server)), ""});
    if (hosts.empty()) {
      checks_.push_back({Level::kWarn, "hosts", "none is registered",
                         "\"vmkeepctl host add ID ADDRESS\" registers one"});
    }
    std::move(hosts.begin(), hosts.end(), std::back_inserter(checks_));
    return absl::OkStatus();
  }

  absl::Status Repositories() {
    const absl::StatusOr<v1::ListRepositoriesResponse> all = client_.ListRepositories({});
    if (!all.ok()) return Noted("repositories", all.status(), "see the controller's log");
    if (all->repositories().empty()) {
      checks_.push_back({Level::kWarn, "repositories", "no host reports one",
                         "see that a host is ONLINE, then \"vmkeepctl repo init HOST SLOT\""});
    }
    for (const v1::Repository& each : all->repositories())
      checks_.push_back(CheckRepository(each, absl::Now()));
    return absl::OkStatus();
  }

  absl::Status Vms() {
    v1::ListVmsRequest request;
    request.set_page_size(kPageSize);
    size_t quiet = 0;
    const absl::Status asked = ForEachPage(
        request, [this](const auto& page) { return client_.ListVms(page); },
        [this, &quiet](const v1::ListVmsResponse& page) {
          for (const v1::Vm& vm : page.vms()) {
            if (const auto check = CheckVm(vm, absl::Now()); check.has_value()) {
              checks_.push_back(*check);
              continue;
            }
            ++quiet;
            if (!vm.has_overlay() && vm.unfinished_backup_id().empty()) free_vm_ = vm.uuid();
          }
        });
    if (!asked.ok()) return Noted("vms", asked, "see the controller's log");
    checks_.push_back(
        {Level::kOk, "vms", absl::StrCat(quiet, " without an overlay that stays"), ""});
    return absl::OkStatus();
  }

  absl::Status Backups() {
    v1::ListBackupsRequest request;
    request.set_page_size(kPageSize);
    for (const v1::Backup::State state :
         {v1::Backup::REQUESTED, v1::Backup::BUILDING, v1::Backup::SCRUB, v1::Backup::SCRUBBING})
      request.mutable_filter()->add_states(state);
    size_t moving = 0;
    const absl::Status asked = ForEachPage(
        request, [this](const auto& page) { return client_.ListBackups(page); },
        [this, &moving](const v1::ListBackupsResponse& page) {
          for (const v1::Backup& backup : page.backups()) {
            Saw(backup.update_time());
            if (const auto check = CheckUnfinished(backup, absl::Now()); check.has_value()) {
              checks_.push_back(*check);
            } else {
              ++moving;
            }
          }
        });
    if (!asked.ok()) return Noted("backups", asked, "see the controller's log");
    checks_.push_back(
        {Level::kOk, "backups", absl::StrCat(moving, " under way, none of them old"), ""});
    return absl::OkStatus();
  }

  // A backup that is only validated is answered with the time at which it would have been
  // requested: the controller's now. Nothing is stored.
  absl::Status Clock() {
    if (!free_vm_.empty()) {
      v1::CreateBackupRequest request;
      request.set_vm_id(free_vm_);
      request.set_name("doctor {date} {time}");
      request.set_validate_only(true);
      const absl::Time before = absl::Now();
      const absl::StatusOr<v1::Backup> answer = client_.CreateBackup(request);
      if (absl::IsCancelled(answer.status())) return answer.status();
      if (answer.ok() && answer->has_create_time()) {
        checks_.push_back(CheckClock({ToTime(answer->create_time()), before, absl::Now()}));
        return absl::OkStatus();
      }
    }
    checks_.push_back(CheckClockBy(newest_, absl::Now()));
    return absl::OkStatus();
  }

  Client& client_;
  bool reached_ = false;
  std::vector<Check> checks_;
  std::string free_vm_;               // one that could be backed up now
  std::optional<absl::Time> newest_;  // of the controller's time stamps
};

absl::Status RunDoctor(const DoctorOptions&, Client& client, const Output& output) {
  Doctor doctor(client);
  VMKEEP_RETURN_IF_ERROR(doctor.Run());
  output.Document(output.json() ? CheckupJson(doctor.checks()) : CheckupText(doctor.checks()));
  const int failed = CountOf(doctor.checks(), Level::kFail);
  return failed == 0 ? absl::OkStatus() : error::Unhealthy(failed);
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Action& action) {
  AddCommand<DoctorOptions>(app, "doctor",
                            "Check controller, hosts, repositories, VMs and clocks, each with what "
                            "to do",
                            action, DescribeDoctor, RunDoctor);
}

}  // namespace vmkeep::ctl
