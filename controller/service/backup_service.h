#ifndef VMKEEP_CONTROLLER_SERVICE_BACKUP_SERVICE_H_
#define VMKEEP_CONTROLLER_SERVICE_BACKUP_SERVICE_H_

#include "common/clock.h"
#include "controller/inventory/inventory.h"
#include "controller/progress/live_state.h"
#include "controller/progress/watch_hub.h"
#include "controller/service/gate.h"
#include "controller/service/validate.h"
#include "controller/service/watch_stream.h"
#include "controller/store/backup_store.h"
#include "vmkeep/v1/backup_service.grpc.pb.h"

namespace vmkeep::controller {

// Each handler: authorise, validate, one verb, convert. None blocks: the store's callbacks end the
// calls. Thread-safe; lives until the server is shut down.
class BackupService final : public ::vmkeep::v1::BackupService::CallbackService {
 public:
  BackupService(const Gate& gate, BackupStore& store, const Inventory& inventory,
                const LiveState& live, WatchHub& hub, Clock& clock,
                WatchStreamOptions watch_options);

  grpc::ServerUnaryReactor* CreateBackup(grpc::CallbackServerContext* context,
                                         const ::vmkeep::v1::CreateBackupRequest* request,
                                         ::vmkeep::v1::Backup* response) override;
  grpc::ServerUnaryReactor* GetBackup(grpc::CallbackServerContext* context,
                                      const ::vmkeep::v1::GetBackupRequest* request,
                                      ::vmkeep::v1::Backup* response) override;
  grpc::ServerUnaryReactor* ListBackups(grpc::CallbackServerContext* context,
                                        const ::vmkeep::v1::ListBackupsRequest* request,
                                        ::vmkeep::v1::ListBackupsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateBackup(grpc::CallbackServerContext* context,
                                         const ::vmkeep::v1::UpdateBackupRequest* request,
                                         ::vmkeep::v1::Backup* response) override;
  grpc::ServerUnaryReactor* RetryBackup(grpc::CallbackServerContext* context,
                                        const ::vmkeep::v1::RetryBackupRequest* request,
                                        ::vmkeep::v1::Backup* response) override;
  grpc::ServerWriteReactor<::vmkeep::v1::WatchBackupsResponse>* WatchBackups(
      grpc::CallbackServerContext* context,
      const ::vmkeep::v1::WatchBackupsRequest* request) override;

 private:
  // Ends the call with the record as it is now, or the error.
  void Reply(const absl::StatusOr<BackupRecord>& record, ::vmkeep::v1::Backup* response,
             grpc::ServerUnaryReactor* reactor) const;
  // A registered id in it also finds backups of before it was registered.
  BackupFilter Spelled(const Caller& caller, BackupFilter filter) const;
  TokenScope ScopeOf(const Caller& caller, const std::string& query_digest) const;
  absl::StatusOr<WatchHub::Request> ToWatch(const Caller& caller, const WatchInput& input) const;

  const Gate& gate_;
  BackupStore& store_;
  const Inventory& inventory_;
  const LiveState& live_;
  WatchHub& hub_;
  Clock& clock_;
  const WatchStreamOptions watch_options_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_BACKUP_SERVICE_H_
