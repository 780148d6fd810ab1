// Timeouts of one length, in the order in which they fall due.
//
// For one policy on one event loop every deadline is the same duration away, so they fall due in the order
// in which they were armed: a list is an exact priority queue, without the rounding of a wheel. The driver
// keeps one timer, for the front. Links live inside what they time out (intrusive).
//
// Thread-safety: none; callers serialise. Complexity: O(1) to arm, to disarm and to take.
#pragma once

#include "resilience/clock.hpp"

namespace resilience {

struct DeadlineLink {
  DeadlineLink* previous = nullptr;
  DeadlineLink* next = nullptr;
  Nanos deadline = kForever;

  [[nodiscard]] bool armed() const noexcept { return next != nullptr; }
};

class DeadlineQueue {
 public:
  DeadlineQueue() noexcept { ends_.previous = ends_.next = &ends_; }
  DeadlineQueue(const DeadlineQueue&) = delete;
  DeadlineQueue& operator=(const DeadlineQueue&) = delete;
  // REQUIRES: empty(), for links would be left pointing here.
  ~DeadlineQueue() = default;

  // REQUIRES: !link.armed(). Deadlines that don't fall in order (a clock read late) are still kept sorted,
  // at the cost of the places they are out of order by.
  void arm(DeadlineLink& link, Nanos deadline) noexcept {
    DeadlineLink* before = ends_.previous;
    while (before != &ends_ && before->deadline > deadline) {
      before = before->previous;
    }
    link.deadline = deadline;
    link.previous = before;
    link.next = before->next;
    before->next->previous = &link;
    before->next = &link;
  }

  // REQUIRES: link.armed(), in whatever queue.
  static void disarm(DeadlineLink& link) noexcept {
    link.previous->next = link.next;
    link.next->previous = link.previous;
    link.previous = link.next = nullptr;
  }

  [[nodiscard]] bool empty() const noexcept { return ends_.next == &ends_; }
  // The one that falls due first, or null.
  [[nodiscard]] DeadlineLink* front() noexcept { return empty() ? nullptr : ends_.next; }
  // Takes the first one whose deadline has come, or null: never one that is early.
  [[nodiscard]] DeadlineLink* take_due(Nanos now) noexcept {
    DeadlineLink* first = front();
    if (first == nullptr || first->deadline > now) {
      return nullptr;
    }
    disarm(*first);
    return first;
  }

 private:
  DeadlineLink ends_;  // before the first and after the last
};

}  // namespace resilience
