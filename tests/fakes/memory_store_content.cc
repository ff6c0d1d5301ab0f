#include "tests/fakes/memory_store_content.h"

#include "controller/domain/errors.h"
#include "controller/domain/states.h"

#include "absl/strings/string_view.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace vmkeep::controller::test {
namespace {

using Records = std::vector<BackupRecord>;
using Found = absl::StatusOr<std::optional<BackupRecord>>;

absl::Time ToNanosecond(absl::Time time) { return absl::FromUnixNanos(absl::ToUnixNanos(time)); }

bool Older(const BackupRecord& a, const BackupRecord& b) {
  return std::tie(a.create_time, a.id) < std::tie(b.create_time, b.id);
}

bool OfProject(const BackupRecord& record, absl::string_view project) {
  return project == kAnyProject || record.project == project;
}

class View : public StoreTransaction {
 public:
  View(MemoryStoreContent& content, Clock& clock) : content_(content), clock_(clock) {}

  Found Get(absl::string_view project, absl::string_view id) override {
    return First([&](const BackupRecord& r) { return r.id == id && OfProject(r, project); });
  }
  Found FindByRequest(absl::string_view project, absl::string_view created_by,
                      absl::string_view request_id) override {
    return First([&](const BackupRecord& r) {
      return !request_id.empty() && r.project == project && r.created_by == created_by &&
             r.request_id == request_id;
    });
  }
  Found FindUnfinished(absl::string_view vm_uuid) override {
    Found working =
        First([&](const BackupRecord& r) { return r.vm_uuid == vm_uuid && IsUnfinished(r.state); });
    if (working->has_value()) return working;
    return First([&](const BackupRecord& r) {
      return r.vm_uuid == vm_uuid && r.state == BackupState::kScrub && r.task_open &&
             !r.task_is_scrub;
    });
  }
  Found FindByName(absl::string_view project, absl::string_view vm_uuid,
                   absl::string_view name) override {
    return First([&](const BackupRecord& r) {
      return r.project == project && r.vm_uuid == vm_uuid && r.name == name &&
             r.state != BackupState::kClosed;
    });
  }
  absl::StatusOr<Records> List(const BackupQuery& query) override {
    Records found = All([&](const BackupRecord& r) {
      if (!OfProject(r, query.project) || !Matches(query.filter, r)) return false;
      if (query.changed_after) return r.revision > *query.changed_after;
      if (!query.after) return true;
      BackupRecord at;
      at.create_time = query.after->create_time;
      at.id = query.after->id;
      return query.oldest_first ? Older(at, r) : Older(r, at);
    });
    std::sort(found.begin(), found.end(), [&](const BackupRecord& a, const BackupRecord& b) {
      if (query.changed_after) return a.revision < b.revision;
      return query.oldest_first ? Older(a, b) : Older(b, a);
    });
    if (found.size() > static_cast<size_t>(query.limit)) found.resize(query.limit);
    return found;
  }
  absl::StatusOr<Records> ChangedSince(absl::string_view project, int64_t revision,
                                       int limit) override {
    BackupQuery query;
    query.project = std::string(project);
    query.filter.show_closed = true;
    query.changed_after = revision;
    query.limit = limit;
    return List(query);
  }
  absl::StatusOr<Records> ListOpen() override {
    Records open = All([](const BackupRecord& r) { return !IsSettled(r.state); });
    std::sort(open.begin(), open.end(), Older);
    return open;
  }
  absl::StatusOr<std::map<BackupState, int64_t>> CountByState() override {
    std::map<BackupState, int64_t> counts;
    for (const auto& [id, record] : content_.backups) ++counts[record.state];
    return counts;
  }
  absl::StatusOr<std::optional<HostRecord>> GetHost(const HostId& id) override {
    const auto found = content_.hosts.find(id);
    if (found == content_.hosts.end()) return std::optional<HostRecord>();
    return std::optional<HostRecord>(found->second);
  }
  absl::StatusOr<std::vector<HostRecord>> ListHosts() override {
    std::vector<HostRecord> hosts;
    hosts.reserve(content_.hosts.size());
    for (const auto& [id, host] : content_.hosts) hosts.push_back(host);
    return hosts;
  }
  absl::StatusOr<std::vector<VmRecord>> ListVms() override { return Flat(content_.vms); }
  absl::StatusOr<std::vector<RepositoryRecord>> ListRepositories() override {
    return Flat(content_.repositories);
  }
  absl::StatusOr<std::vector<VmRegistration>> ListVmRegistrations() override {
    return content_.registrations;
  }
  int64_t revision() override { return content_.revision; }

  absl::StatusOr<BackupRecord> Put(BackupRecord record) override;
  absl::Status PutHost(const HostRecord& host) override;
  absl::Status DeleteHost(const HostId& host) override {
    content_.hosts.erase(host);
    content_.vms.erase(host);
    content_.repositories.erase(host);
    return absl::OkStatus();
  }
  absl::Status AddVmRegistration(const VmRegistration& registration) override;
  absl::Status PutVms(const HostId& host, const std::vector<VmRecord>& vms) override {
    std::vector<VmRecord> sorted = vms;
    for (VmRecord& vm : sorted) vm.host_id = host;
    std::sort(sorted.begin(), sorted.end(),
              [](const VmRecord& a, const VmRecord& b) { return a.uuid < b.uuid; });
    content_.vms[host] = std::move(sorted);
    return absl::OkStatus();
  }
  absl::Status PutRepositories(const HostId& host,
                               const std::vector<RepositoryRecord>& repositories) override {
    std::vector<RepositoryRecord> sorted = repositories;
    for (RepositoryRecord& repository : sorted) repository.host_id = host;
    std::sort(sorted.begin(), sorted.end(),
              [](const RepositoryRecord& a, const RepositoryRecord& b) { return a.slot < b.slot; });
    content_.repositories[host] = std::move(sorted);
    return absl::OkStatus();
  }
  absl::Status PutAcknowledged(const HostId& host, int64_t sequence) override {
    const auto found = content_.hosts.find(host);
    if (found != content_.hosts.end()) {
      int64_t& acknowledged = found->second.acknowledged_sequence;
      acknowledged = std::max(acknowledged, sequence);
    }
    return absl::OkStatus();
  }
  absl::Status PutLastSeen(const HostId& host, absl::Time seen) override {
    const auto found = content_.hosts.find(host);
    if (found != content_.hosts.end()) found->second.last_seen = ToNanosecond(seen);
    return absl::OkStatus();
  }

  // What Put() was given, the newest of each record, by revision.
  Records TakePut() {
    Records records;
    for (auto& [id, record] : put_) records.push_back(std::move(record));
    std::sort(records.begin(), records.end(),
              [](const BackupRecord& a, const BackupRecord& b) { return a.revision < b.revision; });
    return records;
  }

 private:
  template <typename Wanted>
  Found First(Wanted wanted) {
    for (const auto& [id, record] : content_.backups) {
      if (wanted(record)) return std::optional<BackupRecord>(record);
    }
    return std::optional<BackupRecord>();
  }
  template <typename Wanted>
  Records All(Wanted wanted) {
    Records found;
    for (const auto& [id, record] : content_.backups) {
      if (wanted(record)) found.push_back(record);
    }
    return found;
  }
  template <typename T>
  static std::vector<T> Flat(const std::map<HostId, std::vector<T>>& by_host) {
    std::vector<T> all;
    for (const auto& [host, list] : by_host) all.insert(all.end(), list.begin(), list.end());
    return all;
  }

  MemoryStoreContent& content_;
  Clock& clock_;
  std::map<BackupId, BackupRecord> put_;
};

absl::StatusOr<BackupRecord> View::Put(BackupRecord record) {
  const auto before = content_.backups.find(record.id);
  if (before != content_.backups.end()) {  // what is fixed by the insert
    const BackupRecord& old = before->second;
    record.project = old.project;
    record.vm_id = old.vm_id;
    record.vm_uuid = old.vm_uuid;
    record.vm_name = old.vm_name;
    record.create_time = old.create_time;
    record.created_by = old.created_by;
    record.request_id = old.request_id;
    record.request_digest = old.request_digest;
  }
  for (const auto& [id, other] : content_.backups) {
    if (id == record.id) continue;
    const bool open = record.state != BackupState::kClosed && other.state != BackupState::kClosed;
    if (open && other.project == record.project && other.vm_uuid == record.vm_uuid &&
        other.name == record.name) {
      return error::NameTaken(record.name, id);
    }
    if (IsUnfinished(record.state) && IsUnfinished(other.state) &&
        other.vm_uuid == record.vm_uuid) {
      return error::VmHasUnfinishedBackup(record.vm_id, id);
    }
    if (!record.request_id.empty() && other.project == record.project &&
        other.created_by == record.created_by && other.request_id == record.request_id) {
      return error::RequestIdReused(record.request_id, id);
    }
  }
  record.revision = ++content_.revision;
  record.update_time = ToNanosecond(clock_.Now());
  record.create_time = ToNanosecond(record.create_time);
  if (record.time_valid) record.time_valid = ToNanosecond(*record.time_valid);
  if (record.failure) record.failure->time = ToNanosecond(record.failure->time);
  content_.backups[record.id] = record;
  put_.insert_or_assign(record.id, record);
  return record;
}

absl::Status View::PutHost(const HostRecord& host) {
  const auto before = content_.hosts.find(host.id);
  HostRecord record = host;
  record.last_seen.reset();
  if (before != content_.hosts.end()) {
    record.last_seen = before->second.last_seen;
    if (before->second.executor_id == host.executor_id)
      record.acknowledged_sequence = before->second.acknowledged_sequence;
  }
  content_.hosts[host.id] = record;
  return absl::OkStatus();
}

absl::Status View::AddVmRegistration(const VmRegistration& registration) {
  for (const VmRegistration& it : content_.registrations) {
    if (it.project == registration.project &&
        (it.id == registration.id || it.uuid == registration.uuid)) {
      return error::VmRegistered(it.id, it.uuid);
    }
  }
  content_.registrations.push_back(registration);
  std::sort(content_.registrations.begin(), content_.registrations.end(),
            [](const VmRegistration& a, const VmRegistration& b) {
              return std::tie(a.project, a.id) < std::tie(b.project, b.id);
            });
  return absl::OkStatus();
}

absl::StatusOr<Records> Run(const BackupStore::Mutation& mutation, View& view) {
  try {
    return mutation(view);
  } catch (const std::exception& thrown) {
    return absl::InternalError(thrown.what());
  }
}

}  // namespace

absl::StatusOr<Records> Mutate(MemoryStoreContent& content, Clock& clock,
                               const BackupStore::Mutation& mutation, Records& put) {
  MemoryStoreContent next = content;
  View view(next, clock);
  absl::StatusOr<Records> result = Run(mutation, view);
  if (!result.ok()) return result;
  content = std::move(next);
  put = view.TakePut();
  return result;
}

void Look(MemoryStoreContent& content, Clock& clock, const BackupStore::Query& query) {
  View view(content, clock);
  query(&view);
}

}  // namespace vmkeep::controller::test
