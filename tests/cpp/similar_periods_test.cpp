#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <vector>

#include "resilience/simple_forecasts.hpp"

namespace resilience {
namespace {

constexpr double kMonday = 4 * 86400.0;  // 5 January 1970 was a Monday

// The documented predictor, written down the slow way.
struct Expected {
  double mean;
  double confidence;
};
Expected by_hand(const std::vector<std::optional<double>>& samples, double start, double step, double lead) {
  const std::size_t n = samples.size();
  const double now = start + static_cast<double>(n - 1) * step;
  const double target = now + lead;
  const auto hour_of = [](double time) { return static_cast<long>(std::floor(time / 3600.0)); };
  double sum = 0.0;
  int similar = 0;
  int seen = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double time = start + static_cast<double>(i) * step;
    if (!samples[i] || time <= now - 7 * 86400.0) {
      continue;
    }
    ++seen;
    if ((hour_of(target) - hour_of(time)) % (7 * 24) == 0) {
      sum += *samples[i];
      ++similar;
    }
  }
  if (seen < 60 || similar == 0) {
    return {*samples.back(), 0.0};
  }
  return {sum / similar, std::min(similar / 10.0, 1.0)};
}

TEST(SimilarPeriods, AgreesWithTheDefinitionSampleBySample) {
  for (const double step : {60.0, 300.0, 1800.0}) {
    for (const double offset : {0.0, 1000.0, 3599.0}) {
      const StepGrid grid{step};
      LoadHistory history(static_cast<std::size_t>(3 * grid.week()));
      SimilarPeriodsModel model(grid, kMonday + offset, 900.0);
      std::vector<std::optional<double>> samples;
      const auto count = static_cast<int>(16 * 86400.0 / step);
      for (int i = 0; i < count; ++i) {
        const bool gap = i % 17 == 5;
        const double load = 50.0 + (i * 37) % 101;
        history.push(load, !gap);
        samples.push_back(gap ? std::nullopt : std::optional(load));
        model.observe(history);
        if (!gap && i % 7 == 0) {
          const Expected expected = by_hand(samples, kMonday + offset, step, 900.0);
          ASSERT_NEAR(model.predict(history), expected.mean, 1e-9) << step << " " << offset << " " << i;
          ASSERT_DOUBLE_EQ(model.confidence(), expected.confidence) << step << " " << offset << " " << i;
        }
      }
    }
  }
}

TEST(SimilarPeriods, SaysNothingUnderSixtySamples) {
  const StepGrid grid{60.0};
  LoadHistory history(1000);
  SimilarPeriodsModel model(grid, kMonday, 60.0);
  for (int i = 0; i < 59; ++i) {
    history.push(1.0, true);
    model.observe(history);
    EXPECT_DOUBLE_EQ(model.confidence(), 0.0);
  }
  history.push(1.0, true);  // the sixtieth, 00:59: the target hour is the next, unseen one
  model.observe(history);
  EXPECT_EQ(model.similar(), 0);
  for (int i = 1; i <= 10; ++i) {
    history.push(2.0, true);
    model.observe(history);
    EXPECT_DOUBLE_EQ(model.confidence(), i / 10.0);
    EXPECT_DOUBLE_EQ(model.predict(history), 2.0);
  }
}

}  // namespace
}  // namespace resilience
