#include "resilience/shadow_fleets.hpp"

#include <algorithm>

namespace resilience {

namespace {
constexpr double kColdDays = 14.0;
constexpr double kCostDays = 14.0;
constexpr double kRecentDays = 0.5;
constexpr double kLatelyDays = 1.0;
constexpr double kNearMissWeight = 0.2;
}  // namespace

ShadowFleets::ShadowFleets(const StepGrid& grid, std::size_t fleets, std::int64_t delay)
    : delay_(delay),
      keep_cold_(grid.keep(kColdDays * kSecondsPerDay)),
      keep_cost_(grid.keep(kCostDays * kSecondsPerDay)),
      keep_recent_(grid.keep(kRecentDays * kSecondsPerDay)),
      keep_lately_(grid.keep(kLatelyDays * kSecondsPerDay)),
      ring_(fleets * static_cast<std::size_t>(delay)),
      ready_(fleets),
      scores_(fleets) {}

std::span<const double> ShadowFleets::targets(std::int64_t steps_ago) const noexcept {
  const auto row = static_cast<std::size_t>((recorded_ - steps_ago + delay_) % delay_);
  return {ring_.data() + row * size(), size()};
}

void ShadowFleets::score(double need, double near_need) noexcept {
  const std::span<const double> latest = targets(1);
  std::ranges::copy(latest, ready_.begin());
  for (std::int64_t ago = 2; ago <= delay_; ++ago) {
    const std::span<const double> row = targets(ago);
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      ready_[i] = std::min(ready_[i], row[i]);
    }
  }
  for (std::size_t i = 0; i < scores_.size(); ++i) {
    FleetScore& score = scores_[i];
    const double missing = std::max(0.0, need - ready_[i]);
    const double nearly = std::max(0.0, near_need - ready_[i]);
    score.cold = keep_cold_ * score.cold + missing + kNearMissWeight * nearly;
    score.cost = keep_cost_ * score.cost + latest[i];
    score.recent_cost = keep_recent_ * score.recent_cost + latest[i];
    score.recent_cold = keep_lately_ * score.recent_cold + missing;
    score.recent_paid = keep_lately_ * score.recent_paid + latest[i];
  }
}

void ShadowFleets::record(std::span<const double> targets) noexcept {
  const auto row = static_cast<std::size_t>(recorded_ % delay_);
  std::ranges::copy(targets, ring_.begin() + static_cast<std::ptrdiff_t>(row * size()));
  ++recorded_;
}

}  // namespace resilience
