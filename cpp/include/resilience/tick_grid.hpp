// Which step of a regular grid a moment belongs to, whatever the wall clock does.
//
// Steps follow the wall clock while it behaves. When it jumps ahead (a suspended machine, a corrected
// clock) the steps between are gaps. When it is set back, the series goes on at the pace of the monotonic
// clock, so that no step comes twice, until the wall clock has caught up.
//
// Thread-safety: none; one owner. O(1).
#pragma once

#include <cstdint>
#include <optional>

#include "resilience/clock.hpp"

namespace resilience {

class TickGrid {
 public:
  struct Tick {
    std::int64_t steps = 0;  // since the last tick: 0 for one that came too early, 1 usually, more after gaps
    double time = 0.0;       // UNIX seconds that the series gives this step
    bool set_back = false;   // the wall clock has just been found to be behind the series
  };

  // REQUIRES: interval > 0.
  explicit TickGrid(double interval) noexcept : interval_(interval) {}

  // `steady` is monotonic, `wall` UNIX seconds.
  Tick tick(Nanos steady, double wall) noexcept;
  // As tick, but the next step at least: for a sample that is one whatever the clock says.
  Tick step(Nanos steady, double wall) noexcept;
  // The series so far ended at `time`; used after a restart.
  void resume(double time) noexcept;
  // UNIX seconds of the latest step, nothing before the first.
  [[nodiscard]] std::optional<double> latest() const noexcept { return latest_; }

 private:
  double interval_;
  std::optional<double> latest_;
  std::optional<Nanos> steady_;
  bool behind_ = false;
};

}  // namespace resilience
