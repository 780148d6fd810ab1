// Loads that tests make up: a day's curve with noise, the same for the same seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

namespace resilience::testing {

struct DailyLoad {
  double base = 100.0;
  double swing = 80.0;
  double noise = 5.0;
  std::uint32_t seed = 1;

  [[nodiscard]] std::vector<double> steps(std::int64_t count, double step_seconds) const {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0.0, noise);
    std::vector<double> loads;
    for (std::int64_t i = 0; i < count; ++i) {
      const double angle = 2.0 * std::numbers::pi * static_cast<double>(i) * step_seconds / 86400.0;
      loads.push_back(std::max(0.0, base - swing * std::cos(angle) + normal(random)));
    }
    return loads;
  }
};

}  // namespace resilience::testing
