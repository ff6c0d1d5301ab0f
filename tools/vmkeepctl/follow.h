#ifndef VMKEEP_TOOLS_VMKEEPCTL_FOLLOW_H_
#define VMKEEP_TOOLS_VMKEEPCTL_FOLLOW_H_

#include "tools/vmkeepctl/client.h"

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include <string>

namespace vmkeep::ctl {

// Shows what Follow() sees. For one thread.
class FollowView {
 public:
  virtual ~FollowView() = default;
  // A backup as it is now. May come again unchanged after a stream was resumed.
  virtual void Show(const v1::Backup& backup) = 0;
  // The stream broke; it is opened again after `delay`.
  virtual void Broken(const absl::Status& why, absl::Duration delay) = 0;
  // All that matches is shown again from here on: what is not was closed meanwhile.
  virtual void Restart() {}
  // Comes a few times a second, also when nothing happens.
  virtual void Tick() {}
  // The last call: nothing more will be shown.
  virtual void Finish() {}
};

// Whether a stream that never delivered anything is opened again.
enum class Persistence {
  kAlways,          // the controller answered a moment ago
  kOnceItDelivered  // the address may be wrong: say so at once
};

// The last that was seen of each backup, by id.
using SeenBackups = absl::flat_hash_map<std::string, v1::Backup>;

// Watches until everything is settled (with request.until_settled), and goes on after a broken
// stream from its resume token for as long as the client's deadline allows. A token that is not
// accepted any more is dropped: all is sent again. Returns OK when settled, else INTERRUPTED,
// TIMED_OUT or what the controller refused the watch with.
absl::Status Follow(Client& client, v1::WatchBackupsRequest request, Persistence persistence,
                    FollowView& view, SeenBackups& seen);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_FOLLOW_H_
