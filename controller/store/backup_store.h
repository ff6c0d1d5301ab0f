#ifndef VMKEEP_CONTROLLER_STORE_BACKUP_STORE_H_
#define VMKEEP_CONTROLLER_STORE_BACKUP_STORE_H_

#include "controller/domain/backup.h"
#include "controller/domain/inventory.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::controller {

// Which records: fields joined by AND, values of one field by OR, empty matches all.
struct BackupFilter {
  std::vector<BackupId> ids;
  std::vector<std::string> vms;  // any spelling
  std::vector<HostId> host_ids;
  std::vector<BackupState> states;
  std::vector<int> repositories;
  std::vector<std::string> repository_ids;
  std::optional<absl::Time> created_after;   // at or after
  std::optional<absl::Time> created_before;  // before
  Labels labels;
  bool show_closed = false;  // also when `states` names CLOSED
};
// The same decision as the store's, for one record in memory: what a watch uses.
bool Matches(const BackupFilter& filter, const BackupRecord& record);

// Instead of a project: those of all projects. For the controller's own work, never for a caller's.
inline constexpr char kAnyProject[] = "*";

// Where a page begins: after this record in the order of the query.
struct PagePosition {
  absl::Time create_time;
  BackupId id;
};
struct BackupQuery {
  std::string project;
  BackupFilter filter;
  bool oldest_first = false;
  std::optional<PagePosition> after;
  // Only records with a higher revision, in its order instead; `oldest_first` and `after` do not
  // count then.
  std::optional<int64_t> changed_after;
  int limit = 50;
};

// What a mutation or a query sees: one consistent state. `project` may be kAnyProject in Get, List
// and ChangedSince.
class StoreView {
 public:
  virtual ~StoreView() = default;
  virtual absl::StatusOr<std::optional<BackupRecord>> Get(absl::string_view project,
                                                          absl::string_view id) = 0;
  virtual absl::StatusOr<std::optional<BackupRecord>> FindByRequest(
      absl::string_view project, absl::string_view created_by, absl::string_view request_id) = 0;
  // The VM's REQUESTED or BUILDING backup; also one whose cancelled backup task has not ended yet
  // (SCRUB, task open).
  virtual absl::StatusOr<std::optional<BackupRecord>> FindUnfinished(absl::string_view vm_uuid) = 0;
  // The VM's backup of this name that is not CLOSED.
  virtual absl::StatusOr<std::optional<BackupRecord>> FindByName(absl::string_view project,
                                                                 absl::string_view vm_uuid,
                                                                 absl::string_view name) = 0;
  virtual absl::StatusOr<std::vector<BackupRecord>> List(const BackupQuery& query) = 0;
  // Records with a higher revision, in its order: what a watch missed.
  virtual absl::StatusOr<std::vector<BackupRecord>> ChangedSince(absl::string_view project,
                                                                 int64_t revision, int limit) = 0;
  // REQUESTED, BUILDING, SCRUB and SCRUBBING records of all projects, oldest first: what the
  // scheduler takes up at start.
  virtual absl::StatusOr<std::vector<BackupRecord>> ListOpen() = 0;
  // How many records of all projects each state has; a state without any may be absent.
  virtual absl::StatusOr<std::map<BackupState, int64_t>> CountByState() = 0;
  virtual absl::StatusOr<std::optional<HostRecord>> GetHost(const HostId& id) = 0;
  virtual absl::StatusOr<std::vector<HostRecord>> ListHosts() = 0;
  virtual absl::StatusOr<std::vector<VmRecord>> ListVms() = 0;
  virtual absl::StatusOr<std::vector<RepositoryRecord>> ListRepositories() = 0;
  virtual absl::StatusOr<std::vector<VmRegistration>> ListVmRegistrations() = 0;
  virtual int64_t revision() = 0;
};

// A view that can be written. All of a mutation is committed or nothing.
class StoreTransaction : public StoreView {
 public:
  // Inserts or replaces; stamps and returns the record with its new revision and update_time. Who
  // asked, when, for which VM of which project by which request_id stay those of the insert. Times
  // are kept to the nanosecond. NAME_TAKEN, UNFINISHED_BACKUP or REQUEST_ID_REUSED when another
  // record has what must be unique.
  virtual absl::StatusOr<BackupRecord> Put(BackupRecord record) = 0;
  // Inserts or replaces. acknowledged_sequence counts for a new host and another executor only,
  // else it is PutAcknowledged's; last_seen is PutLastSeen's alone.
  virtual absl::Status PutHost(const HostRecord& host) = 0;
  // Forgets it, its VMs and its repositories. Absent is OK.
  virtual absl::Status DeleteHost(const HostId& host) = 0;
  // VM_REGISTERED when the project has the id or the UUID already.
  virtual absl::Status AddVmRegistration(const VmRegistration& registration) = 0;
  // Replaces all VMs / repositories of one host by these.
  virtual absl::Status PutVms(const HostId& host, const std::vector<VmRecord>& vms) = 0;
  virtual absl::Status PutRepositories(const HostId& host,
                                       const std::vector<RepositoryRecord>& repositories) = 0;
  // The last event of the host's executor that is recorded: in the same commit as what it caused.
  // Never goes back. Absent is OK.
  virtual absl::Status PutAcknowledged(const HostId& host, int64_t sequence) = 0;
  // Absent is OK.
  virtual absl::Status PutLastSeen(const HostId& host, absl::Time seen) = 0;
};

// Records, durable. Thread-safe. One contract test for every store (tests/contract/store).
class BackupStore {
 public:
  // Runs on the store's thread, inside a transaction that other callers' mutations may share: it
  // must not block, and sees what mutations before it wrote. A status that is not OK undoes this
  // mutation alone. May be run twice. It returns the records that it changed, as Put() returned
  // them.
  using Mutation = std::function<absl::StatusOr<std::vector<BackupRecord>>(StoreTransaction&)>;
  // Called on the store's thread, after the fsync, in commit order; must not block.
  using Done = std::function<void(const absl::StatusOr<std::vector<BackupRecord>>&)>;
  using Query = std::function<void(absl::StatusOr<StoreView*>)>;

  virtual ~BackupStore() = default;
  virtual void Commit(Mutation mutation, Done done) = 0;
  // Runs `query` on a reader thread with a view of all that was committed before the call, and
  // perhaps more.
  virtual void Read(Query query) = 0;
  // This store's own UUID: the controller's id, made with the store.
  virtual std::string controller_id() const = 0;

  // What every mutation put, the newest of each record by revision; in commit order, after the
  // fsync and before the mutation's Done. On the store's thread. Set once, before use.
  using Observer = std::function<void(const std::vector<BackupRecord>&)>;
  virtual void SetObserver(Observer observer) = 0;
};

// Commit and Read for callers that may wait: start-up and tests, never a gRPC thread.
absl::StatusOr<std::vector<BackupRecord>> CommitAndWait(BackupStore& store,
                                                        BackupStore::Mutation mutation);
absl::Status ReadAndWait(BackupStore& store, const std::function<absl::Status(StoreView&)>& query);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_BACKUP_STORE_H_
