#ifndef VMKEEP_EXECUTOR_DEFAULTS_H_
#define VMKEEP_EXECUTOR_DEFAULTS_H_

// What the flags are when nobody says otherwise, on each system.
namespace vmkeep::executor {

#ifdef _WIN32
inline constexpr char kDefaultListen[] = "127.0.0.1:7443";
inline constexpr char kDefaultStateDir[] = "C:\\ProgramData\\vmkeep\\executor";
inline constexpr char kDefaultHypervisor[] = "hyperv";
inline constexpr char kDefaultPrimary[] = "P:\\";
inline constexpr char kDefaultSecondary[] = "S:\\";
inline constexpr char kProgramEnding[] = ".exe";
#else
inline constexpr char kDefaultListen[] = "unix:/run/vmkeep/executor.sock";
inline constexpr char kDefaultStateDir[] = "/var/lib/vmkeep/executor";
inline constexpr char kDefaultHypervisor[] = "libvirt";
inline constexpr char kDefaultPrimary[] = "/mnt/backup-p/";
inline constexpr char kDefaultSecondary[] = "/mnt/backup-s/";
inline constexpr char kProgramEnding[] = "";
#endif

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_DEFAULTS_H_
