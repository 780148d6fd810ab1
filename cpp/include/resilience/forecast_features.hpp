// What the ridge regressions look at: recent values, recent means, and the same time of earlier days.
//
// Every feature is a difference to the present value on the same scale, so that shrinking the
// coefficients shrinks towards "stays as it is". A lag from before the series began counts as the
// present value. Four weeks of history are looked at where there are so many. Free functions of a history: no
// state, no thread-safety concerns, O(1) a row.
#pragma once

#include <cstdint>

#include "resilience/load_history.hpp"
#include "resilience/ridge.hpp"
#include "resilience/step_grid.hpp"

namespace resilience {

inline constexpr int kFeatureWeeks = 5;  // weeks of history that every feature fits in

using FeatureRow = Ridge<kMeanFeatures>::Row;

struct FeatureSettings {
  Scale scale = Scale::kPlain;
  std::int64_t ahead = 1;
  double day_profile = 0.0;  // for the same distance ahead
  double constant = 1.0;     // the intercept's size
};

// The row for predicting `ahead` steps after the latest one.
// REQUIRES: history.count() > 0, ahead >= 1.
[[nodiscard]] FeatureRow mean_features(const LoadHistory& history, const StepGrid& grid,
                                       const FeatureSettings& settings) noexcept;

// The last seven days' mean at the time of day `ahead` steps from now, moved to the level of the last
// half hour (by a factor in [1/4, 4]).
[[nodiscard]] double day_profile(const LoadHistory& history, const StepGrid& grid,
                                 std::int64_t ahead) noexcept;
// As above from the day one week back, smoothed over an hour.
[[nodiscard]] double week_profile(const LoadHistory& history, const StepGrid& grid,
                                  std::int64_t ahead) noexcept;

}  // namespace resilience
