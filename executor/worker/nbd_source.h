#ifndef VMKEEP_EXECUTOR_WORKER_NBD_SOURCE_H_
#define VMKEEP_EXECUTOR_WORKER_NBD_SOURCE_H_

#include "common/mutex.h"
#include "executor/worker/copy_source.h"
#include "executor/worker/host_image.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <libnbd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::worker {

// A disk as its guest sees it, read from a server that flattens its chain. The server says what
// reads as zeros, and is asked for many pieces at once. The files below it are held to the same
// proof as a plain image: nobody writes to any of them, before and after.
class NbdSource final : public CopySource {
 public:
  // For at most `readers` calls of Read() at a time; more wait for each other. `path` is what
  // messages name. SOURCE_VIEW_LOST when the server does not answer.
  static absl::StatusOr<std::unique_ptr<CopySource>> Open(const std::string& path,
                                                          const v1::FlatView& view, int readers);
  ~NbdSource() override { ForgetFiles(); }

  const std::string& path() const override { return path_; }
  int64_t bytes() const override { return bytes_; }
  absl::Status Read(std::span<const Piece> pieces) const override ABSL_LOCKS_EXCLUDED(idle_mu_);
  int64_t NextData(int64_t offset) const override;
  int64_t NextHole(int64_t offset) const override;
  // The server's own reads of the files are what the kernel reads ahead for.
  void Prefetch(int64_t, int64_t) const override {}
  // Where in the files a piece lies, only QEMU knows: so all that is cached of them goes, every so
  // many bytes.
  void Forget(int64_t offset, int64_t bytes) const override;
  absl::Status CheckUnchanged() const override;

 private:
  struct Close {
    void operator()(nbd_handle* handle) const noexcept { nbd_close(handle); }
  };
  using Connection = std::unique_ptr<nbd_handle, Close>;

  // What the server said of a range: where it begins to be zero or data.
  struct Extent {
    int64_t end = 0;
    bool zero = false;
  };

  NbdSource(std::string path, std::vector<HostImage> files);
  static absl::StatusOr<Connection> Connect(const std::string& path, const v1::FlatView& view);

  // The end of the run of zeros, or of data, that `offset` is in. Where the server does not say:
  // data, and the read will tell.
  Extent ExtentAt(int64_t offset) const ABSL_LOCKS_EXCLUDED(map_mu_);
  void Ask(int64_t offset) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_mu_);

  void ForgetFiles() const;

  const std::string path_;
  const std::vector<HostImage> files_;
  int64_t bytes_ = 0;
  mutable std::atomic<int64_t> read_bytes_ = 0;

  // One thread at a time per connection.
  mutable Mutex idle_mu_;
  mutable CondVar returned_;
  mutable std::vector<Connection> idle_ ABSL_GUARDED_BY(idle_mu_);

  // The part of the map that was asked for last: extents one after the other from `map_begin_`.
  mutable Mutex map_mu_;
  mutable Connection map_connection_ ABSL_GUARDED_BY(map_mu_);
  mutable int64_t map_begin_ ABSL_GUARDED_BY(map_mu_) = 0;
  mutable std::vector<Extent> map_ ABSL_GUARDED_BY(map_mu_);
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_NBD_SOURCE_H_
