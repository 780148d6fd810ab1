#include "resilience/tick_grid.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

void TickGrid::resume(double time) noexcept {
  latest_ = time;
  steady_.reset();
}

TickGrid::Tick TickGrid::step(Nanos steady, double wall) noexcept {
  Tick found = tick(steady, wall);
  if (found.steps == 0) {
    latest_ = found.time + interval_;
    steady_ = steady;
    behind_ = true;  // on purpose: nothing to report when the wall clock is found behind
    found = {1, *latest_, false};
  }
  return found;
}

TickGrid::Tick TickGrid::tick(Nanos steady, double wall) noexcept {
  if (!latest_) {
    latest_ = wall;
    steady_ = steady;
    return {1, wall, false};
  }
  const double by_wall = wall - *latest_;
  const double by_steady = steady_ ? seconds_from_nanos(steady - *steady_) : std::max(by_wall, interval_);
  const bool behind = by_wall < by_steady - interval_ / 2.0 && by_wall < interval_ / 2.0;
  const bool found = behind && !behind_;
  const double elapsed = behind ? by_steady : std::max(by_wall, 0.0);
  const auto steps = static_cast<std::int64_t>(std::floor(elapsed / interval_ + 0.5));
  if (steps > 0) {
    *latest_ += static_cast<double>(steps) * interval_;
    // The remainder is carried, not dropped: a grid that restarts at every late tick drifts.
    const double rest = elapsed - static_cast<double>(steps) * interval_;
    steady_ = steady - nanos_from_seconds(std::abs(rest) < interval_ / 2.0 ? rest : 0.0);
    behind_ = behind;
  }
  return {steps, *latest_, found && steps > 0};
}

}  // namespace resilience
