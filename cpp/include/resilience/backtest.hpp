// What a load's own history says: the provisioner against the reactive rule and a static peak, on paper.
//
// Thread-safety: a free function of its input. Complexity: O(1) a step, about 150,000 of them a second.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "resilience/forecast.hpp"
#include "resilience/provisioner.hpp"

namespace resilience {

struct PolicyOutcome {
  double cold_unit_steps = 0.0;    // units that were needed and did not serve yet
  std::int64_t cold_steps = 0;     // steps with any of them
  double unit_hours = 0.0;         // paid
  double wasted_unit_hours = 0.0;  // paid and not needed
};

struct BacktestResult {
  std::int64_t steps = 0;  // scored: measured, and after the forecaster's first two days
  double needed_unit_hours = 0.0;
  PolicyOutcome predictive;
  PolicyOutcome reactive;
  PolicyOutcome fixed;  // the peak, all the time
};

// REQUIRES: both configurations are valid, loads are finite and >= 0 where measured.
[[nodiscard]] BacktestResult backtest(std::span<const std::optional<double>> loads,
                                      const ForecasterConfig& forecaster,
                                      const ProvisionerConfig& provisioner);

}  // namespace resilience
