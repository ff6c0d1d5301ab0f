#ifndef VMKEEP_COMMON_HOST_HOST_H_
#define VMKEEP_COMMON_HOST_HOST_H_

#include <string>

namespace vmkeep::host {

// The host's own name, without a domain where the system keeps it so; "localhost" when it has none.
std::string Hostname();

// The running program, absolute; empty when the system does not tell.
std::string ProgramPath();

}  // namespace vmkeep::host

#endif  // VMKEEP_COMMON_HOST_HOST_H_
