#include "resilience/batch_cost.hpp"

#include <algorithm>

namespace resilience {

void BatchCost::observe(std::size_t size, Nanos duration) noexcept {
  const auto n = static_cast<double>(size);
  const double seconds = seconds_from_nanos(std::max<Nanos>(0, duration));
  weight_ = weight_ * kKept + 1.0;
  sizes_ = sizes_ * kKept + n;
  squares_ = squares_ * kKept + n * n;
  times_ = times_ * kKept + seconds;
  products_ = products_ * kKept + n * seconds;

  const double mean_size = sizes_ / weight_;
  const double mean_time = times_ / weight_;
  const double variance = squares_ / weight_ - mean_size * mean_size;
  constexpr double kTellApart = 1e-3;  // of the squared mean: below it, sizes have hardly varied
  if (variance > kTellApart * mean_size * mean_size) {
    const double slope = (products_ / weight_ - mean_size * mean_time) / variance;
    per_item_ = std::clamp(slope, 0.0, mean_time / mean_size);
  } else {
    per_item_ = std::min(per_item_, mean_time / mean_size);
  }
  per_batch_ = mean_time - per_item_ * mean_size;
}

}  // namespace resilience
