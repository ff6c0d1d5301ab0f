#ifndef VMKEEP_EXECUTOR_WORKER_HOST_SOURCE_H_
#define VMKEEP_EXECUTOR_WORKER_HOST_SOURCE_H_

#include "common/fs/fd.h"
#include "executor/worker/copy_source.h"
#include "executor/worker/host_image.h"

#include "absl/status/statusor.h"

#include <memory>
#include <string>

namespace vmkeep::worker {

// A self-contained image, byte for byte: one file, or one block device, which has no holes to ask
// for. Read past the page cache where its file system can: filling the cache costs more than
// hashing (docs/performance.md), and what the host keeps there stays.
class HostSource final : public CopySource {
 public:
  static absl::StatusOr<std::unique_ptr<CopySource>> Open(const std::string& path);

  explicit HostSource(HostImage image);

  const std::string& path() const override { return image_.path(); }
  int64_t bytes() const override { return image_.bytes(); }
  absl::Status Read(std::span<const Piece> pieces) const override;
  int64_t NextData(int64_t offset) const override;
  int64_t NextHole(int64_t offset) const override;
  void Prefetch(int64_t offset, int64_t bytes) const override;
  void Forget(int64_t offset, int64_t bytes) const override;
  absl::Status CheckUnchanged() const override { return image_.CheckUnchanged(); }

 private:
  absl::Status ReadPiece(const Piece& piece) const;

  const HostImage image_;
  const fs::Fd direct_;  // the same file, opened past the cache; invalid where that cannot be
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_HOST_SOURCE_H_
