#include "resilience/completion_queue.hpp"

#include <chrono>

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

bool CompletionQueue::wait(Nanos timeout) {
  std::unique_lock lock(mutex_);
  pushed_.wait_for(lock, std::chrono::nanoseconds(timeout),
                   [this] { return closed_ || !completions_.empty(); });
  return !completions_.empty();
}

void CompletionQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  completions_.clear();
  pushed_.notify_all();
}

bool CompletionQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace resilience
