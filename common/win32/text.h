#ifndef VMKEEP_COMMON_WIN32_TEXT_H_
#define VMKEEP_COMMON_WIN32_TEXT_H_

#include "absl/strings/string_view.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Between our text, UTF-8, and that of Windows, UTF-16.
namespace vmkeep {

// Nothing for what is no UTF-8, or holds a NUL, at which Windows would stop reading.
std::optional<std::wstring> Widen(absl::string_view utf8);

// A half of a surrogate pair, which NTFS allows in a name, becomes bytes that are no UTF-8: whoever
// checks a name refuses it, and no file is taken for another.
std::string Narrow(std::wstring_view wide);

// The command line as the process got it, the program first. main()'s arguments are in the
// machine's code page.
std::vector<std::string> CommandLineArguments();

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_WIN32_TEXT_H_
