// Where one owner's time comes from: the system's clock unless it was given another.
//
// The system's is read by the short way, TickClock, inline; any other by its virtual now(), and its stamps
// are plain times.
//
// Thread-safety: const members may be called from any thread. Complexity: O(1).
#pragma once

#include <memory>
#include <utility>

#include "resilience/clock.hpp"
#include "resilience/tick_clock.hpp"

namespace resilience {

class TimeSource {
 public:
  using Stamp = TickClock::Stamp;

  // The system's clock when `given` is null.
  explicit TimeSource(std::shared_ptr<Clock> given = nullptr)
      : clock_(given ? std::move(given) : SystemClock::instance()),
        system_(dynamic_cast<SystemClock*>(clock_.get()) != nullptr) {}

  [[nodiscard]] bool is_system() const noexcept { return system_; }
  [[nodiscard]] Clock& clock() const noexcept { return *clock_; }
  [[nodiscard]] bool operator==(const TimeSource& other) const noexcept { return clock_ == other.clock_; }

  [[nodiscard]] Nanos now() const noexcept { return system_ ? TickClock::now() : clock_->now(); }
  // The moment at which something starts: cheaper than a time, and enough for the two below.
  [[nodiscard]] Stamp stamp() const noexcept { return system_ ? TickClock::stamp() : clock_->now(); }
  // The time at which `stamp` was taken, a moment ago.
  [[nodiscard]] Nanos time_of(Stamp stamp) const noexcept {
    return system_ ? TickClock::time_of(stamp) : stamp;
  }
  // The time now; `passed` becomes the nanoseconds since `stamp` was taken.
  [[nodiscard]] Nanos now_since(Stamp stamp, Nanos& passed) const noexcept {
    if (system_) [[likely]] {
      return TickClock::now_since(stamp, passed);
    }
    const Nanos now = clock_->now();
    passed = now - stamp;
    return now;
  }

 private:
  std::shared_ptr<Clock> clock_;
  bool system_;
};

}  // namespace resilience
