// How native threads report to an event loop: any thread pushes, the loop's thread drains all at once, and
// the waker runs once for each drain however many completions it brings.
//
// Completions are plain numbers, so a native thread can make and drop them without knowing what they mean
// to the loop: which handler there, and a value for it.
//
// Thread-safety: all members may be called from any thread. The waker runs under the queue's lock, so that
// after close() returns it never runs again; it must not block or call back. Complexity: O(1) a push.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "resilience/clock.hpp"

namespace resilience {

struct Completion {
  std::uint64_t handler = 0;
  std::int64_t value = 0;
};

class CompletionQueue {
 public:
  explicit CompletionQueue(std::function<void()> waker) : waker_(std::move(waker)) {}

  // False, and nothing kept, once the queue is closed.
  bool push(Completion completion);
  // Moves everything pushed so far into `out`, in order. What `out` held is lost.
  void drain(std::vector<Completion>& out);
  // Blocks until there is something to drain, at most for `timeout`, for loops that can't watch a file
  // descriptor. False when there is nothing.
  [[nodiscard]] bool wait(Nanos timeout);
  // Refuses and drops completions from now on.
  void close();
  [[nodiscard]] bool closed() const;

 private:
  std::function<void()> waker_;
  mutable std::mutex mutex_;
  std::condition_variable pushed_;
  std::vector<Completion> completions_;  // guarded by mutex_
  bool closed_ = false;                  // guarded by mutex_
};

}  // namespace resilience
