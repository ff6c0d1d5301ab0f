# Compiler settings for every target of the tree.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(WIN32)
  # Windows Server 2016 and later; without the macros of windows.h that are words of ours (min, ERROR, ...).
  add_compile_definitions(_WIN32_WINNT=0x0A00 WIN32_LEAN_AND_MEAN NOMINMAX NOGDI)
  # No path of the machine that builds goes into a program: the archive is the same wherever it is made.
  add_compile_options("-ffile-prefix-map=${VMKEEP_SYSROOT}/=" "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=")
  # libstdc++ 12's own semaphore for systems without futexes loses a wake-up: a ~stop_callback() that meets its stop waits for ever there
  # (SpawnTest.AStopMayComeAsTheReadEnds). Its other one, over sem_t, does not.
  add_compile_definitions(_GLIBCXX_USE_POSIX_SEMAPHORE)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
endif()

# Links the tests in a third of the time, where it is installed: tools/lab/packages, group check.
find_program(LLD ld.lld PATHS /usr/lib/llvm-19/bin)
if(LLD AND NOT WIN32)
  cmake_path(GET LLD PARENT_PATH lld_folder)
  add_link_options(-fuse-ld=lld)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # looks for ld.lld where it is told to
    add_link_options(-B${lld_folder})
  endif()
endif()

# Our own sources; generated protobuf code is compiled without -Werror (cmake/VmkeepTargets.cmake).
set(VMKEEP_WARNINGS -Wall -Wextra -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Debian's Abseil is built by GCC, which mangles names of constrained templates as clang up to 17 did.
  add_compile_options(-fclang-abi-compat=17)
  # libstdc++ 12 itself uses what it calls deprecated (get_temporary_buffer, in std::stable_sort).
  list(APPEND VMKEEP_WARNINGS -Wthread-safety -Werror=thread-safety -Wno-deprecated-declarations)
endif()

set(VMKEEP_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, such as address,undefined")
if(VMKEEP_SANITIZE)
  add_compile_options(-fsanitize=${VMKEEP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VMKEEP_SANITIZE})
  # libvirt, gRPC and protobuf of the system are not instrumented.
  add_compile_definitions(VMKEEP_SANITIZED=1)
endif()

# Places where tests/chaos holds or fails a side effect (docs/adr/0050). Never in what is installed.
option(VMKEEP_FAULT_POINTS "Build in the fault points of common/fault_point" OFF)
