// Timeouts of one policy: armed when a call first suspends, delivered by cancelling its task.
//
// All deadlines of one policy on one event loop are equally long, so each loop has a DeadlineQueue and a
// single timer of its own. The timer is left standing when a call ends in time and looks again when it
// rings: arming and disarming touch the loop about once a `length`, whatever the number of calls.
//
// Delivery is by Task.cancel(), undone with uncancel() when the call comes back, as asyncio.timeout does it:
// the count of cancellation requests tells a timeout from a cancellation that came from outside, also when
// both happen in the same pass of the loop.
//
// Thread-safety: the GIL. Entries belong to the loop that was running when they were armed.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "resilience/deadline_queue.hpp"
#include "resilience/time_source.hpp"

namespace resilience::bindings {

// Lives inside what it times out. REQUIRES: finish()ed or never armed when it goes.
struct TimeoutEntry : DeadlineLink {
  PyObject* task = nullptr;  // owned while armed or fired
  long cancelling = 0;       // requests to cancel the task that were there when this was armed
  bool fired = false;
};

class TimeoutQueue {
 public:
  TimeoutQueue(TimeSource time, Nanos length) : time_(std::move(time)), length_(length) {}
  TimeoutQueue(const TimeoutQueue&) = delete;
  TimeoutQueue& operator=(const TimeoutQueue&) = delete;
  ~TimeoutQueue();

  // Starts the time of the running task's call. False with an exception set when there is no such task.
  // REQUIRES: `entry` is not in use.
  bool arm(TimeoutEntry& entry) { return arm(entry, time_.now()); }
  // The same for a call that started at `started`.
  bool arm(TimeoutEntry& entry, Nanos started);

  // Ends it; the entry may be used again. True when the time was up and nobody else asked for the task to be
  // cancelled, so that a CancelledError which comes out of the call is this timeout.
  static bool finish(TimeoutEntry& entry) { return entry.task != nullptr && finish_armed(entry); }

  [[nodiscard]] Nanos length() const noexcept { return length_; }
  [[nodiscard]] const TimeSource& time() const noexcept { return time_; }

 private:
  class OnLoop;

  static bool finish_armed(TimeoutEntry& entry);
  OnLoop* on_loop(PyObject* loop);
  OnLoop* add_loop(PyObject* loop);
  void forget(const OnLoop* gone) noexcept;

  TimeSource time_;
  Nanos length_;
  std::vector<std::shared_ptr<OnLoop>> loops_;  // nearly always one
};

}  // namespace resilience::bindings
