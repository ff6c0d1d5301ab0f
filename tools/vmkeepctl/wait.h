#ifndef VMKEEP_TOOLS_VMKEEPCTL_WAIT_H_
#define VMKEEP_TOOLS_VMKEEPCTL_WAIT_H_

#include "tools/vmkeepctl/client.h"
#include "tools/vmkeepctl/output.h"

#include "absl/status/status.h"

namespace vmkeep::ctl {

// For --wait: follows a backup that the controller has just answered until it is settled, with a
// live view on stderr (lines when that is no terminal, nothing with JSON), then writes the result:
// one summary line, or the record. OK when it ended in `wanted`; the backup's failure when it ended
// UNRESOURCED. An interrupt leaves it running.
absl::Status WaitUntilSettled(const v1::Backup& backup, v1::Backup::State wanted, Client& client,
                              const Output& output);

// For `backup watch`: writes what matches to stdout, live, as lines, or as JSON lines. With
// explicit ids and until_settled it fails with the failure of the first that ended UNRESOURCED.
absl::Status WatchToStdout(const v1::WatchBackupsRequest& request, Client& client,
                           const Output& output);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_WAIT_H_
