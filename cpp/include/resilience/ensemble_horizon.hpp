// The default forecast: discounted ridge regressions with a short and a long memory, each on the square
// root and on the logarithm of the load, mixed online with "stays as it is". The spread is learned too:
// a non-negative ridge on what the forecasts missed upwards.
//
// Everything is incremental: a step costs O(features^2), once an hour O(features^3).
// Thread-safety: none; one owner. Source: docs/decisions/allocator.md.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "resilience/expert_mix.hpp"
#include "resilience/forecast_features.hpp"
#include "resilience/horizon.hpp"
#include "resilience/ridge.hpp"

namespace resilience {

// A discounted ridge on one scale; predicts the change over the horizon.
class ChangeRidge {
 public:
  ChangeRidge(const StepGrid& grid, Scale scale, double memory_days);

  void learn(const FeatureRow& row, double change) noexcept;
  void solve() noexcept { ridge_.solve(); }
  [[nodiscard]] double predict(const FeatureRow& row) const noexcept;
  [[nodiscard]] Scale scale() const noexcept { return scale_; }

 private:
  Scale scale_;
  Ridge<kMeanFeatures> ridge_;
  RunningMean change_size_;
  RunningMean error_size_;
};

class EnsembleHorizon final : public Horizon {
 public:
  EnsembleHorizon(const StepGrid& grid, std::int64_t ahead);

 private:
  static constexpr std::size_t kRidges = 4;
  static constexpr std::size_t kExperts = kRidges + 1;
  using SpreadRow = Ridge<kSpreadFeatures>::Row;

  struct InFlight {                    // what a waiting forecast was made from
    std::array<FeatureRow, 2> rows{};  // one a scale
    std::array<double, kExperts> said{};
    SpreadRow spread_row{};
  };

  void learn(const LoadHistory& history, std::size_t slot, double mean_then) override;
  void advance(const LoadHistory& history) override;
  Estimate estimate(const LoadHistory& history, std::size_t slot) override;
  [[nodiscard]] double spread_from(InFlight& next, const LoadHistory& history, double mean) const noexcept;

  std::array<ChangeRidge, kRidges> ridges_;
  ExpertMix<kExperts> mix_;
  Ridge<kSpreadFeatures> spread_ridge_;
  RunningMean naive_error_;
  std::array<double, 2> constants_{};  // intercept sizes, from the first day's mean |change|
  std::vector<InFlight> in_flight_;
};

}  // namespace resilience
