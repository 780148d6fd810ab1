// A concurrency limit that finds its own level from latencies and drops.
//
// Three estimators, after Netflix's concurrency-limits:
//   gradient2  long-term against latest latency: limit * clamp(1.5 * long / latest, 0.5, 1) + 4, smoothed
//   vegas      queue estimate limit * (1 - least latency / latency), kept between 3 and 6 times log10(limit)
//   aimd       one more after a success, a tenth less after a drop
// All grow only under real pressure: in flight at least half the limit. A drop (a timeout, an overload
// answer) makes any of them step back, but once a round trip: calls that were already running when the
// limit last fell have nothing new to say. Ignored outcomes only give their place back.
//
// Over the limit a caller may queue, by priority. The queue is controlled as in CoDel (Nichols, Jacobson:
// "Controlling Queue Delay", ACM Queue 2012; its form for servers in "Fail at Scale", ACM Queue 2015): while
// the queue has not been empty for an `interval`, waiters are kept for `target` only, so a standing queue
// is shed from its front instead of making everybody late.
//
// Thread-safety: none; callers serialise. Complexity: O(1) while nobody waits, O(log waiting) otherwise.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/wait_queue.hpp"

namespace resilience {

enum class LimitAlgorithm : std::uint8_t { kGradient2, kVegas, kAimd };
enum class LimitOutcome : std::uint8_t { kSuccess, kIgnored, kDropped };

struct AdaptiveLimitConfig {
  std::int64_t initial = 20;
  std::int64_t min = 1;
  std::int64_t max = 1'000;
  LimitAlgorithm algorithm = LimitAlgorithm::kGradient2;
  std::int64_t max_waiting = 0;
  double target_wait = 0.005;  // seconds a waiter is kept in a standing queue
  double wait_interval = 0.1;  // seconds a waiter is kept otherwise, and after which a queue is standing

  [[nodiscard]] InvalidArgument validate() const;
};

// The estimate alone: samples in, a limit out.
class LimitEstimator {
 public:
  // REQUIRES: config.validate().ok().
  explicit LimitEstimator(const AdaptiveLimitConfig& config) noexcept;

  // A call that was one of `in_flight` took `latency` (> 0) and ended well.
  void on_success(Nanos latency, std::int64_t in_flight) noexcept;
  void on_drop() noexcept;
  // The limit moves inside at once. REQUIRES: 1 <= min <= max.
  void set_bounds(std::int64_t min, std::int64_t max) noexcept;

  [[nodiscard]] std::int64_t min() const noexcept { return static_cast<std::int64_t>(min_); }
  [[nodiscard]] std::int64_t max() const noexcept { return static_cast<std::int64_t>(max_); }
  [[nodiscard]] std::int64_t limit() const noexcept { return whole_; }

 private:
  void gradient2(double latency, std::int64_t in_flight) noexcept;
  void vegas(double latency, std::int64_t in_flight) noexcept;
  void set(double limit) noexcept;
  [[nodiscard]] bool under_pressure(std::int64_t in_flight) const noexcept {
    return static_cast<double>(in_flight) * 2.0 >= limit_;
  }

  LimitAlgorithm algorithm_;
  double min_;
  double max_;
  double limit_;
  std::int64_t whole_;        // limit_ as callers are admitted by it
  double long_latency_ = 0;   // gradient2: exponential average over about 600 samples
  double least_latency_ = 0;  // vegas: latency without queueing, measured anew from time to time
  std::int64_t samples_ = 0;
};

class AdaptiveLimit {
 public:
  // Waiters whose turn has come and waiters that have waited too long. All of them are off the queue; only
  // the served ones hold a place.
  struct Woken {
    std::vector<Ticket> served;
    std::vector<Ticket> shed;
  };

  // REQUIRES: config.validate().ok().
  explicit AdaptiveLimit(const AdaptiveLimitConfig& config) noexcept;

  [[nodiscard]] bool try_acquire() noexcept {
    if (in_flight_ >= estimator_.limit() || !queue_.empty()) {
      return false;
    }
    ++in_flight_;
    return true;
  }
  // After try_acquire() said no: a place in the queue, or nothing. A full queue lets its least urgent
  // waiter go for a more urgent caller; that one is returned in `shed`.
  [[nodiscard]] std::optional<Ticket> enqueue(std::int64_t priority, Nanos now, std::optional<Ticket>& shed);
  // The longest a waiter that joins now is kept.
  [[nodiscard]] Nanos max_wait() const noexcept { return interval_; }

  // Gives a place back with what it showed. `started`: when it was taken.
  void release(Nanos started, Nanos now, LimitOutcome outcome, Woken& woken) {
    sample(started, now, outcome);
    --in_flight_;
    if (!queue_.empty()) {
      serve(now, woken);
    }
  }
  // Changes the bounds while running: calls above a smaller limit finish, waiters that fit in now start.
  void resize(std::int64_t min, std::int64_t max, Nanos now, Woken& woken) {
    estimator_.set_bounds(min, max);
    serve(now, woken);
  }
  // A waiter gives up. False: it had been served, so it has to release(), as ignored.
  [[nodiscard]] bool leave(const Ticket& ticket, Nanos now) noexcept;

  [[nodiscard]] std::int64_t min() const noexcept { return estimator_.min(); }
  [[nodiscard]] std::int64_t max() const noexcept { return estimator_.max(); }
  [[nodiscard]] std::int64_t limit() const noexcept { return estimator_.limit(); }
  [[nodiscard]] std::int64_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] std::int64_t max_waiting() const noexcept { return max_waiting_; }
  [[nodiscard]] std::int64_t waiting() const noexcept { return static_cast<std::int64_t>(queue_.size()); }

 private:
  void sample(Nanos started, Nanos now, LimitOutcome outcome) noexcept;
  void serve(Nanos now, Woken& woken);

  LimitEstimator estimator_;
  std::int64_t in_flight_ = 0;
  Nanos stepped_back_ = INT64_MIN;  // when a drop last lowered the limit
  std::int64_t max_waiting_;
  Nanos target_;
  Nanos interval_;
  WaitQueue queue_;
  std::map<std::uint64_t, Nanos> since_;  // ticket number -> when it joined
  Nanos last_empty_ = INT64_MIN;          // when the queue was last seen empty
};

}  // namespace resilience
