#include "resilience/backtest.hpp"

#include <gtest/gtest.h>

#include "support/loads.hpp"

namespace resilience {
namespace {

std::vector<std::optional<double>> measured(const std::vector<double>& loads) {
  return {loads.begin(), loads.end()};
}

TEST(Backtest, ComparesThePoliciesOnTheSameSteps) {
  const auto loads = measured(testing::DailyLoad{}.steps(10 * 288, 300.0));
  const auto result = backtest(loads, {.step = 300.0}, {.capacity_per_unit = 10.0, .max_units = 100});
  EXPECT_EQ(result.steps, 8 * 288);
  EXPECT_LE(result.predictive.cold_unit_steps, result.reactive.cold_unit_steps);
  EXPECT_LT(result.predictive.unit_hours, result.fixed.unit_hours);
  EXPECT_EQ(result.fixed.cold_unit_steps, 0.0);
  EXPECT_NEAR(result.fixed.unit_hours, result.needed_unit_hours + result.fixed.wasted_unit_hours, 1e-6);
}

TEST(Backtest, SkipsGapsAndShortHistories) {
  auto loads = measured(testing::DailyLoad{}.steps(3 * 288, 300.0));
  for (std::size_t t = 700; t < 760; ++t) {
    loads[t].reset();
  }
  EXPECT_EQ(backtest(loads, {.step = 300.0}, {.capacity_per_unit = 10.0, .max_units = 100}).steps, 288 - 60);
  EXPECT_EQ(backtest({}, {.step = 300.0}, {.max_units = 10}).steps, 0);
  loads.resize(100);
  EXPECT_EQ(backtest(loads, {.step = 300.0}, {.max_units = 10}).steps, 0);
}

}  // namespace
}  // namespace resilience
