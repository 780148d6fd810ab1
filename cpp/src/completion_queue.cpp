#include "resilience/completion_queue.hpp"

namespace resilience {

bool CompletionQueue::push(Completion completion) {
  const std::lock_guard lock(mutex_);
  if (closed_) {
    return false;
  }
  completions_.push_back(completion);
  if (completions_.size() == 1) {
    waker_();
    pushed_.notify_one();
  }
  return true;
}

void CompletionQueue::drain(std::vector<Completion>& out) {
  out.clear();
  const std::lock_guard lock(mutex_);
  out.swap(completions_);
}

bool CompletionQueue::wait() {
  std::unique_lock lock(mutex_);
  pushed_.wait(lock, [this] { return closed_ || !completions_.empty(); });
  return !closed_;
}

void CompletionQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  completions_.clear();
  pushed_.notify_all();
}

}  // namespace resilience
