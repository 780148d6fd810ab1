// At most so many calls at once, and at most so many waiting for a place.
//
// A freed place is handed to the first waiter directly: a newcomer never overtakes the queue, and a place
// is never both free and promised. A waiter that gives up after it was served must release().
//
// Thread-safety: none; callers serialise. Complexity: O(1) while nobody waits, O(log waiting) otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "resilience/error.hpp"
#include "resilience/wait_queue.hpp"

namespace resilience {

struct BulkheadConfig {
  std::int64_t max_concurrent = 1;
  std::int64_t max_waiting = 0;

  [[nodiscard]] InvalidArgument validate() const;
};

class Bulkhead {
 public:
  // REQUIRES: config.validate().ok().
  explicit Bulkhead(const BulkheadConfig& config) noexcept
      : max_concurrent_(config.max_concurrent), max_waiting_(config.max_waiting) {}

  [[nodiscard]] bool try_acquire() noexcept {
    if (in_flight_ >= max_concurrent_ || !queue_.empty()) {
      return false;
    }
    ++in_flight_;
    return true;
  }
  // After try_acquire() said no: a place in the queue, or nothing when that is full too.
  [[nodiscard]] std::optional<Ticket> enqueue(std::int64_t priority);
  // Gives a place back. The ticket returned, if any, holds it from now on.
  [[nodiscard]] std::optional<Ticket> release() noexcept {
    --in_flight_;
    return queue_.empty() ? std::nullopt : serve();
  }
  // A waiter gives up. False: it had been served, so it has to release().
  [[nodiscard]] bool leave(const Ticket& ticket) noexcept { return queue_.leave(ticket); }
  // Changes the limits while running; returns the waiters that fit in now. Calls in flight above a smaller
  // limit finish. REQUIRES: config.validate().ok().
  [[nodiscard]] std::vector<Ticket> resize(const BulkheadConfig& config);

  [[nodiscard]] std::int64_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] std::int64_t waiting() const noexcept { return static_cast<std::int64_t>(queue_.size()); }
  [[nodiscard]] std::int64_t max_concurrent() const noexcept { return max_concurrent_; }
  [[nodiscard]] std::int64_t max_waiting() const noexcept { return max_waiting_; }

 private:
  [[nodiscard]] std::optional<Ticket> serve() noexcept;

  std::int64_t max_concurrent_;
  std::int64_t max_waiting_;
  std::int64_t in_flight_ = 0;
  WaitQueue queue_;
};

}  // namespace resilience
