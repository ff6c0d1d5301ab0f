#ifndef VMKEEP_EXECUTOR_FLAT_VIEW_LEFTOVERS_H_
#define VMKEEP_EXECUTOR_FLAT_VIEW_LEFTOVERS_H_

#include <string>

namespace vmkeep::executor {

// Ends the servers that a crash of ours left behind, before a merge starts: found by the socket in
// `folder` that their command line names, so that none escapes, however early the crash came. The
// folder, absolute, belongs to one executor at a time. Returns when they are gone, with proof;
// after a few seconds, and with a line in the log, when one hangs in the kernel.
void EndLeftoverViews(const std::string& folder);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_FLAT_VIEW_LEFTOVERS_H_
