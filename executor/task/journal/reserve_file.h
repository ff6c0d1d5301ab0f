#ifndef VMKEEP_EXECUTOR_TASK_JOURNAL_RESERVE_FILE_H_
#define VMKEEP_EXECUTOR_TASK_JOURNAL_RESERVE_FILE_H_

#include <string>

namespace vmkeep::executor {

// Disk space set aside beside the journal, given up when the disk is full so that running tasks can
// still be ended and recorded. Not thread-safe.
class ReserveFile {
 public:
  explicit ReserveFile(std::string path);
  // Allocates the space unless it is there already. A disk that has no room for it is no error:
  // there is no reserve then.
  void Fill();
  // Gives the space back to the file system; false when there was none.
  bool Release();

 private:
  const std::string path_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_JOURNAL_RESERVE_FILE_H_
