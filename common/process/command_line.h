#ifndef VMKEEP_COMMON_PROCESS_COMMAND_LINE_H_
#define VMKEEP_COMMON_PROCESS_COMMAND_LINE_H_

#include <optional>
#include <string>
#include <vector>

namespace vmkeep::process {

// A Windows program gets one text, not a list, and takes it apart itself: nearly all do it by the
// rules of CommandLineToArgvW, which this is the inverse of. Pure; UTF-8 in and out.
//
// Nothing for a list that no text can stand for: an empty one, a program's name with a quote in it,
// or a NUL anywhere.
std::optional<std::string> ToCommandLine(const std::vector<std::string>& argv);

}  // namespace vmkeep::process

#endif  // VMKEEP_COMMON_PROCESS_COMMAND_LINE_H_
