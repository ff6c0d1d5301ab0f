# What vmkeep stands on: Debian's own packages, nothing vendored; for Windows the same sources, cross-built (tools/windows/sysroot).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
# protobuf has no CMake config package on Debian: the module, and before gRPC, which asks for it.
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(SQLiteCpp CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(prometheus-cpp CONFIG REQUIRED)  # the core only: see docs/adr/0045
find_package(GTest CONFIG REQUIRED)
if(WIN32)
  # What a static libcrypto asks of Windows, behind it on the command line.
  set_property(TARGET OpenSSL::Crypto APPEND PROPERTY INTERFACE_LINK_LIBRARIES ws2_32 crypt32 bcrypt advapi32 user32)
  # The sysroot has the header alone (tools/windows/sysroot).
  add_library(vmkeep_httplib INTERFACE)
  target_link_libraries(vmkeep_httplib INTERFACE ws2_32)
  add_library(PkgConfig::cpp-httplib ALIAS vmkeep_httplib)
else()
  find_package(pugixml CONFIG REQUIRED)
  find_package(CLI11 CONFIG REQUIRED)
  pkg_check_modules(libvirt REQUIRED IMPORTED_TARGET libvirt)
  pkg_check_modules(libnbd REQUIRED IMPORTED_TARGET libnbd)
  pkg_check_modules(fuse3 REQUIRED IMPORTED_TARGET fuse3)  # tests/faultfs
  pkg_check_modules(cpp-httplib REQUIRED IMPORTED_TARGET cpp-httplib)
endif()

find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
# google/api and google/rpc protos: Debian package golang-github-gogo-googleapis-dev.
find_path(GOOGLEAPIS_DIR google/api/annotations.proto
  PATHS /usr/share/gocode/src/github.com/gogo/googleapis NO_CMAKE_FIND_ROOT_PATH REQUIRED)
# The health service's proto: Debian package grpc-proto.
find_path(GRPC_PROTO_DIR grpc/health/v1/health.proto PATHS /usr/share/grpc-proto NO_CMAKE_FIND_ROOT_PATH REQUIRED)
