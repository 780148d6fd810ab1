// Durations counted in steps of a regular grid, and forgetting factors on it: values, for any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace resilience {

inline constexpr double kSecondsPerMinute = 60.0;
inline constexpr double kSecondsPerHour = 3600.0;
inline constexpr double kSecondsPerDay = 86400.0;

struct StepGrid {
  double step_seconds = kSecondsPerMinute;

  // The nearest whole number of steps, at least one.
  [[nodiscard]] std::int64_t steps(double seconds) const noexcept {
    return std::max<std::int64_t>(1, std::llround(seconds / step_seconds));
  }
  // The least number of steps that spans `seconds`, at least one: a unit needs all of its start delay.
  [[nodiscard]] std::int64_t covering(double seconds) const noexcept {
    constexpr double kRounding = 1e-9;
    return std::max<std::int64_t>(1,
                                  static_cast<std::int64_t>(std::ceil(seconds / step_seconds - kRounding)));
  }
  [[nodiscard]] std::int64_t hour() const noexcept { return steps(kSecondsPerHour); }
  [[nodiscard]] std::int64_t day() const noexcept { return steps(kSecondsPerDay); }
  [[nodiscard]] std::int64_t week() const noexcept { return 7 * day(); }
  // What one step keeps of the past so that half is left after `seconds`.
  [[nodiscard]] double keep(double half_life_seconds) const noexcept {
    return std::exp2(-step_seconds / half_life_seconds);
  }
};

// A running mean that forgets: exact for its first samples, exponential afterwards.
class RunningMean {
 public:
  explicit RunningMean(double keep) noexcept : keep_(keep) {}
  void add(double value) noexcept {
    sum_ = keep_ * sum_ + value;
    mass_ = keep_ * mass_ + 1.0;
  }
  [[nodiscard]] double value() const noexcept { return mass_ > 0.0 ? sum_ / mass_ : 0.0; }

 private:
  double keep_;
  double sum_ = 0.0;
  double mass_ = 0.0;
};

}  // namespace resilience
