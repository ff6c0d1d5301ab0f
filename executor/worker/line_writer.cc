#include "executor/worker/line_writer.h"

#include "executor/worker/stdio.h"

#include <utility>

namespace vmkeep::worker {

LineWriter::LineWriter(fs::NativeFd out) : out_(out), thread_([this] { Run(); }) {}

LineWriter::~LineWriter() {
  {
    MutexLock lock(&mu_);
    ending_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void LineWriter::Offer(std::string line) {
  {
    MutexLock lock(&mu_);
    if (gone_ || waiting_.size() >= kMaxWaiting) return;
    waiting_.push_back(std::move(line));
  }
  changed_.NotifyAll();
}

void LineWriter::Write(std::string line) {
  MutexLock lock(&mu_);
  waiting_.push_back(std::move(line));
  changed_.NotifyAll();
  while (!gone_ && (writing_ || !waiting_.empty())) changed_.Wait(&mu_);
}

void LineWriter::Run() {
  while (true) {
    std::string line;
    {
      MutexLock lock(&mu_);
      writing_ = false;
      changed_.NotifyAll();
      while (!ending_ && (gone_ || waiting_.empty())) changed_.Wait(&mu_);
      if (ending_) return;
      line = std::move(waiting_.front());
      waiting_.pop_front();
      writing_ = true;
    }
    if (WriteAll(out_, line)) continue;
    MutexLock lock(&mu_);
    gone_ = true;
  }
}

}  // namespace vmkeep::worker
