#include "resilience/forecast.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "support/loads.hpp"

namespace resilience {
namespace {

using testing::DailyLoad;

struct Errors {
  double forecast = 0.0;
  double naive = 0.0;
  double below_p90 = 0.0;
};

Errors run(const ForecasterConfig& config, const std::vector<double>& loads, std::size_t from) {
  Forecaster forecaster(config);
  const auto ahead = static_cast<std::size_t>(forecaster.grid().covering(config.lead_time));
  Errors errors;
  double counted = 0.0;
  for (std::size_t t = 0; t + ahead < loads.size(); ++t) {
    forecaster.observe(loads[t]);
    if (t >= from) {
      errors.forecast += std::abs(forecaster.mean() - loads[t + ahead]);
      errors.naive += std::abs(loads[t] - loads[t + ahead]);
      errors.below_p90 += loads[t + ahead] <= forecaster.quantile(0.9) ? 1.0 : 0.0;
      counted += 1.0;
    }
  }
  errors.below_p90 /= counted;
  return errors;
}

TEST(Forecaster, LearnsADailyCurveAtEveryStep) {
  for (const double step : {60.0, 300.0, 600.0, 1800.0, 3600.0}) {
    const auto days = static_cast<std::int64_t>(86400.0 / step);
    const auto loads = DailyLoad{}.steps(14 * days, step);
    const Errors errors = run({.step = step}, loads, static_cast<std::size_t>(7 * days));
    EXPECT_LT(errors.forecast, 0.9 * errors.naive) << step;
    EXPECT_NEAR(errors.below_p90, 0.9, 0.06) << step;
  }
}

TEST(Forecaster, EveryKindForecastsWithinTheRangeOfTheLoad) {
  const auto loads = DailyLoad{}.steps(3 * 288, 300.0);
  for (std::size_t kind = 0; kind < kForecastKinds.size(); ++kind) {
    Forecaster forecaster({.step = 300.0, .kind = static_cast<ForecastKind>(kind)});
    for (const double load : loads) {
      forecaster.observe(load);
      EXPECT_GE(forecaster.mean(), 0.0);
      EXPECT_LT(forecaster.mean(), 400.0) << kForecastKinds[kind];
      EXPECT_LE(forecaster.quantile(0.5), forecaster.quantile(0.9));
      EXPECT_GE(forecaster.confidence(), 0.0);
      EXPECT_LE(forecaster.confidence(), 1.0);
    }
  }
}

TEST(Forecaster, NamesItsKindsThereAndBack) {
  for (std::size_t kind = 0; kind < kForecastKinds.size(); ++kind) {
    EXPECT_EQ(forecast_kind(kForecastKinds[kind]), static_cast<ForecastKind>(kind));
  }
  EXPECT_EQ(forecast_kind("oracle"), std::nullopt);
}

TEST(Forecaster, SaysZeroBeforeTheFirstValueAndTheValueAfterIt) {
  Forecaster forecaster({});
  EXPECT_DOUBLE_EQ(forecaster.mean(), 0.0);
  EXPECT_DOUBLE_EQ(forecaster.confidence(), 0.0);
  forecaster.observe(12.0);
  EXPECT_DOUBLE_EQ(forecaster.mean(), 12.0);
}

TEST(Forecaster, StaysFiniteOnZerosJumpsAndGaps) {
  Forecaster forecaster({.step = 600.0});
  std::mt19937 random(2);
  for (int i = 0; i < 144 * 12; ++i) {
    const int day = i / 144;
    std::optional<double> load = day % 3 == 0 ? 0.0 : (day % 3 == 1 ? 1e6 : 3.0);
    if (random() % 5 == 0) {
      load.reset();
    }
    forecaster.observe(load);
    ASSERT_TRUE(std::isfinite(forecaster.mean()));
    ASSERT_GE(forecaster.mean(), 0.0);
    ASSERT_TRUE(std::isfinite(forecaster.quantile(0.99)));
  }
}

TEST(Forecaster, ADayOfGapsLeavesWhatWasLearned) {
  const auto loads = DailyLoad{.noise = 1.0}.steps(9 * 288, 300.0);
  Forecaster forecaster({.step = 300.0});
  for (std::size_t t = 0; t < loads.size(); ++t) {
    const bool missing = t >= 7 * 288 && t < 8 * 288;
    forecaster.observe(missing ? std::nullopt : std::optional(loads[t]));
    if (t >= 8 * 288 + 12) {
      EXPECT_NEAR(forecaster.mean(), loads[std::min(t + 3, loads.size() - 1)], 15.0);
    }
  }
}

TEST(Forecaster, LeadingGapsMoveTheBeginningOfTheSeries) {
  Forecaster forecaster({.step = 60.0, .start_time = 1000.0});
  forecaster.observe(std::nullopt);
  forecaster.observe(std::nullopt);
  forecaster.observe(5.0);
  EXPECT_EQ(forecaster.history().count(), 1);
  EXPECT_DOUBLE_EQ(forecaster.config().start_time, 1120.0);
}

TEST(Forecaster, AHorizonAskedForLaterKnowsThePast) {
  const auto loads = DailyLoad{}.steps(4 * 288, 300.0);
  Forecaster late({.step = 300.0});
  Forecaster early({.step = 300.0});
  (void)early.horizon(1);
  for (const double load : loads) {
    late.observe(load);
    early.observe(load);
  }
  EXPECT_DOUBLE_EQ(late.horizon(1).mean(), early.horizon(1).mean());
  EXPECT_DOUBLE_EQ(late.horizon(1).spread(), early.horizon(1).spread());
}

TEST(Forecaster, RefusesSettingsOutOfRangeByName) {
  EXPECT_EQ(ForecasterConfig{.step = 0.0}.validate().argument, "step");
  EXPECT_EQ(ForecasterConfig{.step = std::nan("")}.validate().argument, "step");
  EXPECT_EQ(ForecasterConfig{.lead_time = -1.0}.validate().argument, "lead_time");
  EXPECT_EQ(ForecasterConfig{.start_time = std::numeric_limits<double>::infinity()}.validate().argument,
            "start_time");
  EXPECT_TRUE(ForecasterConfig{}.validate().ok());
}

TEST(Trend, IsTheSlopeOfTheLastTenMeasuredSteps) {
  LoadHistory history(64);
  EXPECT_EQ(trend_of(recent_slope(history)), Trend::kStable);
  for (int i = 0; i < 20; ++i) {
    history.push(i < 10 ? 500.0 : 2.0 * i, true);
  }
  EXPECT_NEAR(recent_slope(history), 2.0, 1e-9);
  EXPECT_EQ(trend_of(2.0), Trend::kIncreasing);
  EXPECT_EQ(trend_of(0.5), Trend::kStable);
  EXPECT_EQ(trend_of(-0.5), Trend::kStable);
  EXPECT_EQ(trend_of(-0.51), Trend::kDecreasing);
  history.push(1e6, false);  // a filled gap says nothing about the trend
  EXPECT_NEAR(recent_slope(history), 2.0, 1e-9);
}

}  // namespace
}  // namespace resilience
