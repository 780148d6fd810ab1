// Who is served next: higher priority first, first come first served among equals.
//
// The queue knows tickets, not waiters: the driver keeps what a ticket stands for (a future, a thread) and
// wakes it when a machine hands its ticket back.
//
// Thread-safety: none; callers serialise. Complexity: O(log n) to join and to leave, O(1) to look.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <set>

namespace resilience {

struct Ticket {
  std::int64_t priority = 0;
  std::uint64_t number = 0;  // in order of arrival, from 1; never used twice

  friend constexpr bool operator==(const Ticket&, const Ticket&) = default;
  // Smaller is served sooner.
  friend constexpr std::strong_ordering operator<=>(const Ticket& a, const Ticket& b) noexcept {
    const auto urgency = b.priority <=> a.priority;
    return urgency != std::strong_ordering::equal ? urgency : a.number <=> b.number;
  }
};

class WaitQueue {
 public:
  Ticket join(std::int64_t priority) {
    const Ticket ticket{priority, ++issued_};
    waiting_.insert(ticket);
    return ticket;
  }
  // False when the ticket was not waiting any more: it has been served.
  bool leave(const Ticket& ticket) noexcept { return waiting_.erase(ticket) != 0; }

  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return waiting_.size(); }
  // REQUIRES: !empty().
  [[nodiscard]] const Ticket& front() const noexcept { return *waiting_.begin(); }
  [[nodiscard]] const Ticket& back() const noexcept { return *waiting_.rbegin(); }
  Ticket pop() noexcept {
    const Ticket first = front();
    waiting_.erase(waiting_.begin());
    return first;
  }

 private:
  std::set<Ticket> waiting_;
  std::uint64_t issued_ = 0;
};

}  // namespace resilience
