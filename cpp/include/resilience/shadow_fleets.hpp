// What other decisions would have meant: several fleets that are only kept on paper.
//
// A unit asked for serves after `delay` steps, and only while it has been wanted at the end of each of
// them. A fleet's score is what it was missing (cold) and what it paid for, both forgotten slowly.
//
// Thread-safety: none; one owner. Memory: 8 * delay bytes a fleet; a step is O(fleets * delay).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "resilience/step_grid.hpp"

namespace resilience {

struct FleetScore {
  double cold = 0.0;         // missing unit-steps, near misses at a fraction
  double cost = 0.0;         // unit-steps paid, long memory
  double recent_cost = 0.0;  // unit-steps paid, short memory
  double recent_cold = 0.0;  // missing unit-steps of the last days
  double recent_paid = 0.0;  // unit-steps paid in them
};

class ShadowFleets {
 public:
  // REQUIRES: fleets >= 1, delay >= 1.
  ShadowFleets(const StepGrid& grid, std::size_t fleets, std::int64_t delay);

  // The load of the step that just ended needed `need` units, and `near_need` had it been a little larger.
  void score(double need, double near_need) noexcept;
  // Every fleet's target from now on, after score().
  void record(std::span<const double> targets) noexcept;
  // The targets given `steps_ago` steps ago (1: the last ones). REQUIRES: 1 <= steps_ago <= delay.
  [[nodiscard]] std::span<const double> targets(std::int64_t steps_ago) const noexcept;

  [[nodiscard]] std::span<FleetScore> scores() noexcept { return scores_; }
  [[nodiscard]] std::span<const FleetScore> scores() const noexcept { return scores_; }
  [[nodiscard]] std::size_t size() const noexcept { return scores_.size(); }
  // True once targets of a whole delay have been recorded.
  [[nodiscard]] bool full() const noexcept { return recorded_ >= delay_; }

 private:
  std::int64_t delay_;
  double keep_cold_;
  double keep_cost_;
  double keep_recent_;
  double keep_lately_;
  std::int64_t recorded_ = 0;
  std::vector<double> ring_;   // delay rows of one target a fleet
  std::vector<double> ready_;  // scratch: units that served in the step being scored
  std::vector<FleetScore> scores_;
};

}  // namespace resilience
