#include "resilience/backtest.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace resilience {

namespace {

constexpr std::int64_t kDaysToLearn = 2;

double need_of(double load, const ProvisionerConfig& config) {
  return std::clamp(std::ceil(load / config.capacity_per_unit - 1e-9), config.min_units, config.max_units);
}

PolicyOutcome judge(std::span<const std::int64_t> targets, std::span<const std::optional<double>> loads,
                    const ProvisionerConfig& config, const StepGrid& grid, std::size_t from) {
  const auto delay = static_cast<std::size_t>(grid.covering(config.start_delay));
  const double hours = grid.step_seconds / kSecondsPerHour;
  PolicyOutcome outcome;
  for (std::size_t t = std::max(from, delay); t < loads.size(); ++t) {
    const std::optional<double> load = loads[t];
    if (!load) {
      continue;
    }
    const auto first = targets.begin() + static_cast<std::ptrdiff_t>(t - delay);
    const auto ready =
        static_cast<double>(*std::min_element(first, first + static_cast<std::ptrdiff_t>(delay)));
    const double need = need_of(*load, config);
    const auto paid = static_cast<double>(targets[t - 1]);
    outcome.cold_unit_steps += std::max(0.0, need - ready);
    outcome.cold_steps += need > ready ? 1 : 0;
    outcome.unit_hours += paid * hours;
    outcome.wasted_unit_hours += std::max(0.0, paid - need) * hours;
  }
  return outcome;
}

}  // namespace

BacktestResult backtest(std::span<const std::optional<double>> loads, const ForecasterConfig& forecaster,
                        const ProvisionerConfig& provisioner) {
  Provisioner machine(std::make_shared<Forecaster>(forecaster), provisioner);
  const StepGrid grid{forecaster.step};
  const auto from = static_cast<std::size_t>(kDaysToLearn * grid.day());
  std::vector<std::int64_t> predictive;
  std::vector<std::int64_t> reactive;
  BacktestResult result;
  double peak = provisioner.min_units;
  for (std::size_t t = 0; t < loads.size(); ++t) {
    predictive.push_back(machine.observe(loads[t]));
    reactive.push_back(machine.decision().reactive_units);
    if (const std::optional<double> load = loads[t]; t >= from && load) {
      const double need = need_of(*load, provisioner);
      peak = std::max(peak, need);
      result.needed_unit_hours += need * grid.step_seconds / kSecondsPerHour;
      ++result.steps;
    }
  }
  const std::vector<std::int64_t> fixed(loads.size(), static_cast<std::int64_t>(peak));
  result.predictive = judge(predictive, loads, provisioner, grid, from);
  result.reactive = judge(reactive, loads, provisioner, grid, from);
  result.fixed = judge(fixed, loads, provisioner, grid, from);
  return result;
}

}  // namespace resilience
