#ifndef VMKEEP_TESTS_SUPPORT_SCOPED_MOUNT_H_
#define VMKEEP_TESTS_SUPPORT_SCOPED_MOUNT_H_

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

namespace vmkeep::test {

// A file system mounted on a folder until the end of the scope. Needs root: a test asks mounted()
// and skips itself.
class ScopedMount {
 public:
  // As mount(2).
  ScopedMount(const std::string& source, std::string target, const char* type, unsigned long flags,
              const char* options)
      : target_(std::move(target)),
        mounted_(mount(source.c_str(), target_.c_str(), type, flags, options) == 0) {}
  ~ScopedMount() {
    Thaw();
    if (mounted_) umount2(target_.c_str(), MNT_DETACH);
  }
  ScopedMount(const ScopedMount&) = delete;
  ScopedMount& operator=(const ScopedMount&) = delete;

  bool mounted() const { return mounted_; }

  // From now on every write to it waits in the kernel, where no signal reaches it: a storage server
  // that is gone.
  bool Freeze() {
    frozen_ = Control(FIFREEZE);
    return frozen_;
  }
  void Thaw() {
    if (frozen_) Control(FITHAW);
    frozen_ = false;
  }

 private:
  bool Control(unsigned long request) {
    const int fd = open(target_.c_str(), O_RDONLY | O_CLOEXEC);
    const bool done = fd >= 0 && ioctl(fd, request, 0) == 0;
    close(fd);
    return done;
  }

  std::string target_;
  bool mounted_;
  bool frozen_ = false;
};

// A loop device over a file until the end of the scope. Needs root.
class LoopDevice {
 public:
  explicit LoopDevice(const std::string& file) {
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    const int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    close(control);
    const int backing = open(file.c_str(), O_RDWR | O_CLOEXEC);
    const std::string path = "/dev/loop" + std::to_string(number);
    fd_ = number < 0 ? -1 : open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd_ >= 0 && ioctl(fd_, LOOP_SET_FD, backing) == 0) path_ = path;
    close(backing);
  }
  ~LoopDevice() {
    // Takes effect when the last user, a mount included, lets go.
    if (!path_.empty()) ioctl(fd_, LOOP_CLR_FD, 0);
    close(fd_);
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;

  // Empty when there is none to be had.
  const std::string& path() const { return path_; }

 private:
  int fd_ = -1;
  std::string path_;
};

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_SUPPORT_SCOPED_MOUNT_H_
