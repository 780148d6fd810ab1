// Where a circuit breaker counts the outcomes of calls: a window, totals and a latency histogram under one
// lock.
//
// A breaker starts with one stripe and takes more when threads collide in it. Thread-safety: hold `lock`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "resilience/histogram.hpp"
#include "resilience/spin_lock.hpp"
#include "resilience/window.hpp"

namespace resilience {

struct BreakerTotals {
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  std::uint64_t ignored = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t slow = 0;
  std::uint64_t rejected = 0;
  std::uint64_t late = 0;

  BreakerTotals& operator+=(const BreakerTotals& other) noexcept {
    successes += other.successes;
    failures += other.failures;
    ignored += other.ignored;
    cancelled += other.cancelled;
    slow += other.slow;
    rejected += other.rejected;
    late += other.late;
    return *this;
  }
};

struct OutcomeStripe {
  // A window of the last `window_calls` calls, or when that is 0 of `monitor_window`.
  OutcomeStripe(Nanos monitor_window, std::size_t window_calls)
      : time_window(monitor_window),
        count_window(window_calls == 0 ? nullptr : std::make_unique<CountWindow>(window_calls)) {}

  // True when the outcome is the first of its bucket.
  bool add(bool failure, bool slow, Nanos now, bool cancelled = false) {
    if (count_window) {
      count_window->add(failure, slow, cancelled);
      return false;
    }
    return time_window.add(now, failure, slow, cancelled);
  }
  const WindowCounts& expire(Nanos now) {
    return count_window ? count_window->counts() : time_window.expire(now);
  }
  [[nodiscard]] WindowCounts counts(Nanos now) const {
    return count_window ? count_window->counts() : time_window.counts(now);
  }
  void clear() {
    time_window.clear();
    if (count_window) {
      count_window->clear();
    }
  }
  // Starts an empty window of another kind or length.
  void rewindow(Nanos monitor_window, std::size_t window_calls) {
    time_window = TimeWindow(monitor_window);
    count_window = window_calls == 0 ? nullptr : std::make_unique<CountWindow>(window_calls);
  }

  [[nodiscard]] std::size_t bytes() const noexcept {
    return sizeof(*this) + time_window.own_bytes() + (count_window ? count_window->bytes() : 0);
  }

  mutable SpinLock lock;  // guards all below
  TimeWindow time_window;
  std::unique_ptr<CountWindow> count_window;  // instead of time_window; then the only stripe is the first
  BreakerTotals totals;
  CompactHistogram latency;
};

}  // namespace resilience
