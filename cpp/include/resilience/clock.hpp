// Time for the whole library.
//
// Machines never read a clock: `now` is an argument, a monotonic count of nanoseconds. Drivers own a
// Clock and read it. SystemClock reads the operating system; ManualClock moves only when told to and
// fires its timers in order of their deadlines, on the thread that advances it.
//
// Thread-safety: all members may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace resilience {

using Nanos = std::int64_t;  // a monotonic instant or a duration, in nanoseconds

inline constexpr Nanos kNanosPerMicro = 1'000;
inline constexpr Nanos kNanosPerMilli = 1'000'000;
inline constexpr Nanos kNanosPerSecond = 1'000'000'000;
inline constexpr Nanos kForever = INT64_MAX;

// Seconds to nanoseconds, saturating at ±292 years; NaN becomes 0.
[[nodiscard]] Nanos nanos_from_seconds(double seconds) noexcept;
[[nodiscard]] constexpr double seconds_from_nanos(Nanos nanos) noexcept {
  return static_cast<double>(nanos) / static_cast<double>(kNanosPerSecond);
}
// a + b without overflow, for deadlines.
[[nodiscard]] constexpr Nanos saturating_add(Nanos a, Nanos b) noexcept {
  Nanos sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    return b > 0 ? kForever : INT64_MIN;
  }
  return sum;
}

class ManualClock;

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  // Monotonic nanoseconds, precise to well under a microsecond.
  [[nodiscard]] virtual Nanos now() const noexcept = 0;
  // Monotonic nanoseconds on the same scale, cheap, at most a few milliseconds behind now().
  [[nodiscard]] virtual Nanos coarse_now() const noexcept = 0;
  // Seconds since the UNIX epoch. For people to read, never for decisions.
  [[nodiscard]] virtual double unix_time() const noexcept = 0;
  // The manual clock behind this one, or null: its timers replace the engine's.
  [[nodiscard]] virtual ManualClock* manual() noexcept { return nullptr; }
};

// The operating system's clocks.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Nanos now() const noexcept override;
  [[nodiscard]] Nanos coarse_now() const noexcept override;
  [[nodiscard]] double unix_time() const noexcept override;

  static const std::shared_ptr<SystemClock>& instance();
};

class ManualClock final : public Clock {
 public:
  using TimerId = std::uint64_t;

  explicit ManualClock(Nanos start = 0, double unix_start = 0.0) noexcept
      : now_(start), start_(start), unix_start_(unix_start) {}

  [[nodiscard]] Nanos now() const noexcept override { return now_.load(std::memory_order_acquire); }
  [[nodiscard]] Nanos coarse_now() const noexcept override { return now(); }
  [[nodiscard]] double unix_time() const noexcept override;
  [[nodiscard]] ManualClock* manual() noexcept override { return this; }

  // Moves time forward by `duration` (REQUIRES: >= 0), stopping at each timer due on the way: the
  // timer runs with now() equal to its deadline. Timers set by a timer run too when they fall due.
  void advance(Nanos duration);

  // Runs `callback` once when time reaches `deadline`; never from inside this call.
  TimerId schedule(Nanos deadline, std::function<void()> callback);
  // True when the timer had not fired and now never will.
  bool cancel(TimerId id);
  [[nodiscard]] std::size_t pending() const;

 private:
  std::atomic<Nanos> now_;
  Nanos start_;
  double unix_start_;
  mutable std::mutex mutex_;
  TimerId next_id_ = 1;
  std::map<std::pair<Nanos, TimerId>, std::function<void()>> timers_;  // guarded by mutex_
  std::map<TimerId, Nanos> deadlines_;                                 // guarded by mutex_
};

}  // namespace resilience
