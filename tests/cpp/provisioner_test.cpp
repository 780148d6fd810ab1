#include "resilience/provisioner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "support/loads.hpp"

namespace resilience {
namespace {

using testing::DailyLoad;

std::shared_ptr<Forecaster> forecaster(double step) {
  return std::make_shared<Forecaster>(ForecasterConfig{.step = step});
}

struct Outcome {
  double cold = 0.0;
  double cost = 0.0;
};

// Units serve in a step when they were wanted at the end of each of the `delay` steps before it.
Outcome outcome(const std::vector<std::int64_t>& targets, const std::vector<double>& loads, double capacity,
                std::size_t delay, std::size_t from) {
  Outcome sum;
  for (std::size_t t = from; t < loads.size(); ++t) {
    const auto ready = *std::min_element(targets.begin() + static_cast<std::ptrdiff_t>(t - delay),
                                         targets.begin() + static_cast<std::ptrdiff_t>(t));
    sum.cold += std::max(0.0, std::ceil(loads[t] / capacity) - static_cast<double>(ready));
    sum.cost += static_cast<double>(targets[t - 1]);
  }
  return sum;
}

std::vector<std::int64_t> reactive(const std::vector<double>& loads, double capacity, std::size_t window) {
  std::vector<std::int64_t> targets;
  for (std::size_t t = 0; t < loads.size(); ++t) {
    const std::size_t first = t + 1 >= window ? t + 1 - window : 0;
    const double largest = *std::max_element(loads.begin() + static_cast<std::ptrdiff_t>(first),
                                             loads.begin() + static_cast<std::ptrdiff_t>(t + 1));
    targets.push_back(static_cast<std::int64_t>(std::max(1.0, std::ceil(largest / (0.7 * capacity) - 1e-9))));
  }
  return targets;
}

TEST(Provisioner, IsTheReactiveRuleForTheFirstDay) {
  const auto loads = DailyLoad{}.steps(288, 300.0);
  Provisioner provisioner(forecaster(300.0), {.capacity_per_unit = 10.0, .max_units = 100});
  const auto expected = reactive(loads, 10.0, 3);
  for (std::size_t t = 0; t < loads.size(); ++t) {
    EXPECT_EQ(provisioner.observe(loads[t]), expected[t]);
    EXPECT_EQ(provisioner.decision().rule, "reactive");
  }
}

TEST(Provisioner, BeatsTheReactiveRuleOnADailyLoadAtEveryStep) {
  for (const double step : {60.0, 300.0, 600.0, 1800.0, 3600.0}) {
    const auto day = static_cast<std::int64_t>(86400.0 / step);
    const auto loads = DailyLoad{.noise = 8.0}.steps(21 * day, step);
    const double capacity = 10.0;
    Provisioner provisioner(forecaster(step), {.capacity_per_unit = capacity, .max_units = 100});
    std::vector<std::int64_t> targets;
    for (const double load : loads) {
      targets.push_back(provisioner.observe(load));
    }
    const auto delay = static_cast<std::size_t>(StepGrid{step}.covering(900.0));
    const auto from = static_cast<std::size_t>(7 * day);
    const Outcome mine = outcome(targets, loads, capacity, delay, from);
    const auto window = std::max(delay, static_cast<std::size_t>(StepGrid{step}.steps(900.0)));
    const Outcome other = outcome(reactive(loads, capacity, window), loads, capacity, delay, from);
    EXPECT_LE(mine.cold, other.cold) << step;
    EXPECT_LT(mine.cost, 1.05 * other.cost) << step;
  }
}

TEST(Provisioner, StaysWithinItsLimits) {
  const auto loads = DailyLoad{.base = 1000.0, .swing = 999.0}.steps(4 * 144, 600.0);
  Provisioner provisioner(forecaster(600.0), {.capacity_per_unit = 10.0, .min_units = 3, .max_units = 12});
  for (const double load : loads) {
    const std::int64_t units = provisioner.observe(load);
    EXPECT_GE(units, 3);
    EXPECT_LE(units, 12);
  }
}

TEST(Provisioner, AGapNeverGivesUnitsBack) {
  const auto loads = DailyLoad{}.steps(5 * 288, 300.0);
  Provisioner provisioner(forecaster(300.0), {.capacity_per_unit = 10.0, .max_units = 100});
  std::int64_t before = 0;
  for (std::size_t t = 0; t < loads.size(); ++t) {
    const bool gap = t % 50 >= 40;
    const std::int64_t units = provisioner.observe(gap ? std::nullopt : std::optional(loads[t]));
    if (gap) {
      EXPECT_GE(units, before);
    }
    before = units;
  }
}

TEST(Provisioner, ScalesDownAgainAfterAPeak) {
  Provisioner provisioner(forecaster(300.0), {.capacity_per_unit = 1.0, .max_units = 1000});
  for (int t = 0; t < 288 * 4; ++t) {
    provisioner.observe(10.0);
  }
  EXPECT_GE(provisioner.observe(500.0), 30);
  std::int64_t units = 0;
  for (int t = 0; t < 288; ++t) {
    units = provisioner.observe(10.0);
  }
  EXPECT_LE(units, 20);
}

TEST(Provisioner, ExplainsItsDecision) {
  const auto loads = DailyLoad{.noise = 1.0}.steps(7 * 288, 300.0);
  Provisioner provisioner(forecaster(300.0), {.capacity_per_unit = 10.0, .max_units = 100, .guard = false});
  for (const double load : loads) {
    const std::int64_t units = provisioner.observe(load);
    ASSERT_EQ(provisioner.decision().units, units);
  }
  EXPECT_EQ(provisioner.decision().rule, "forecast");
  EXPECT_GT(provisioner.decision().margin, 0.0);
  EXPECT_GT(provisioner.decision().forecast, 0.0);
}

TEST(Provisioner, ANewStartDelayStartsTheShadowsAnew) {
  const auto loads = DailyLoad{}.steps(6 * 288, 300.0);
  Provisioner provisioner(forecaster(300.0), {.capacity_per_unit = 10.0, .max_units = 100});
  for (std::size_t t = 0; t < loads.size(); ++t) {
    if (t == 5 * 288) {
      provisioner.set_start_delay(1800.0);
    }
    EXPECT_GE(provisioner.observe(loads[t]), 1);
  }
  EXPECT_DOUBLE_EQ(provisioner.config().start_delay, 1800.0);
}

TEST(Provisioner, RefusesSettingsOutOfRangeByName) {
  const auto refused = [](ProvisionerConfig config) { return config.validate().argument; };
  EXPECT_EQ(refused({.capacity_per_unit = 0.0}), "capacity_per_unit");
  EXPECT_EQ(refused({.target_utilization = 1.5}), "target_utilization");
  EXPECT_EQ(refused({.start_delay = 0.0}), "start_delay");
  EXPECT_EQ(refused({.min_units = -1}), "min_units");
  EXPECT_EQ(refused({.min_units = 5, .max_units = 4}), "max_units");
  EXPECT_EQ(refused({}), "");
}

TEST(ShadowFleets, AUnitServesOnlyAfterItsWholeDelay) {
  ShadowFleets fleets({300.0}, 1, 3);
  const std::vector<double> one{1.0};
  const std::vector<double> five{5.0};
  for (const auto* targets : {&one, &one, &one, &five, &five}) {
    fleets.record(*targets);
  }
  EXPECT_TRUE(fleets.full());
  fleets.score(5.0, 5.0);  // two of three steps at five: one unit serves
  EXPECT_NEAR(fleets.scores()[0].cold, 4.0 * 1.2, 1e-9);
  fleets.record(five);
  const double before = fleets.scores()[0].cold;
  fleets.score(5.0, 5.0);
  EXPECT_LT(fleets.scores()[0].cold, before);
}

TEST(SlidingMax, ForgetsWhatLeavesTheWindow) {
  SlidingMax window(3);
  EXPECT_EQ(window.value(), std::nullopt);
  window.add(0, 9.0);
  window.add(1, 4.0);
  window.expire(2);
  EXPECT_EQ(window.value(), 9.0);
  window.expire(3);
  EXPECT_EQ(window.value(), 4.0);
}

}  // namespace
}  // namespace resilience
