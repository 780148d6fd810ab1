#include "resilience/ensemble_horizon.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {

constexpr double kLongMemoryDays = 7.0;
constexpr double kShortMemoryDays = 2.0;
constexpr std::int64_t kDaysToSee = 1;    // of history before the first row is worth learning from
constexpr std::int64_t kDaysToLearn = 1;  // of rows before the first fit
constexpr double kMixDays = 5.0;
constexpr double kMeanPenalty = 1e-3;
constexpr double kSpreadPenalty = 1e-3;
constexpr double kChangeLimit = 6.0;        // times the usual change: beyond it a sample is an accident
constexpr double kErrorFloor = 0.3;         // of the usual error: keeps the robust weights finite
constexpr double kConstantShare = 0.1;      // the intercept's size: small, so that it shrinks first
constexpr double kSpreadPerPositive = 2.5;  // sd / mean of the positive part, for a normal variable
constexpr double kSpreadFloor = 0.12;       // of the long-run spread
constexpr std::array<Scale, 2> kFitted{Scale::kRoot, Scale::kLog};

constexpr std::size_t row_of(Scale scale) noexcept { return scale == Scale::kRoot ? 0 : 1; }

}  // namespace

ChangeRidge::ChangeRidge(const StepGrid& grid, Scale scale, double memory_days)
    : scale_(scale),
      ridge_(grid.keep(memory_days * kSecondsPerDay), kMeanPenalty),
      change_size_(grid.keep(kLongMemoryDays * kSecondsPerDay)),
      error_size_(grid.keep(kLongMemoryDays * kSecondsPerDay)) {}

void ChangeRidge::learn(const FeatureRow& row, double change) noexcept {
  change_size_.add(std::abs(change));
  const double limit = kChangeLimit * change_size_.value();
  const double target = std::clamp(change, -limit, limit);
  double weight = 1.0;
  if (scale_ == Scale::kLog) {  // towards the median: weigh by the inverse of the error
    const double error = std::abs(target - predict(row));
    error_size_.add(error);
    const double usual = error_size_.value();
    weight = usual > 0.0 ? usual / std::max(error, kErrorFloor * usual) : 1.0;
  }
  ridge_.learn(row, target, weight);
}

double ChangeRidge::predict(const FeatureRow& row) const noexcept {
  const double limit = kChangeLimit * change_size_.value();
  return std::clamp(ridge_.predict(row), -limit, limit);
}

EnsembleHorizon::EnsembleHorizon(const StepGrid& grid, std::int64_t ahead)
    : Horizon(grid, ahead, (kDaysToSee + kDaysToLearn) * grid.day()),
      ridges_{ChangeRidge(grid, Scale::kRoot, kLongMemoryDays),
              ChangeRidge(grid, Scale::kLog, kLongMemoryDays),
              ChangeRidge(grid, Scale::kRoot, kShortMemoryDays),
              ChangeRidge(grid, Scale::kLog, kShortMemoryDays)},
      mix_(grid.keep(kMixDays * kSecondsPerDay)),
      spread_ridge_(grid.keep(kLongMemoryDays * kSecondsPerDay), kSpreadPenalty),
      naive_error_(grid.keep(kLongMemoryDays * kSecondsPerDay)),
      in_flight_(static_cast<std::size_t>(ahead)) {}

void EnsembleHorizon::learn(const LoadHistory& history, std::size_t slot, double mean_then) {
  const InFlight& then = in_flight_[slot];
  const std::int64_t now = history.latest();
  if (now - ahead() + 1 < kDaysToSee * grid().day()) {
    return;
  }
  const double load = history.at(Scale::kPlain, now);
  naive_error_.add(std::abs(load - then.said[0]));
  mix_.learn(then.said, mean_then, load, naive_error_.value());
  mix_.reweigh();
  for (ChangeRidge& ridge : ridges_) {
    const Scale scale = ridge.scale();
    ridge.learn(then.rows[row_of(scale)], history.at(scale, now) - history.at(scale, now - ahead()));
  }
  const double above = history.at(Scale::kRoot, now) - std::sqrt(mean_then);
  spread_ridge_.learn(then.spread_row, std::max(above, 0.0), 1.0);
}

void EnsembleHorizon::advance(const LoadHistory& history) {
  const std::int64_t now = history.latest();
  if (now >= 1 && now <= grid().day()) {
    for (const Scale scale : kFitted) {
      const double change = std::abs(history.at(scale, now) - history.at(scale, now - 1));
      double& constant = constants_[row_of(scale)];
      constant += (kConstantShare * change - constant) / static_cast<double>(now);
    }
  }
  if (learned() && (now + ahead()) % grid().hour() == 0) {  // horizons take turns
    for (ChangeRidge& ridge : ridges_) {
      ridge.solve();
    }
    spread_ridge_.solve_non_negative();
  }
}

Horizon::Estimate EnsembleHorizon::estimate(const LoadHistory& history, std::size_t slot) {
  InFlight& next = in_flight_[slot];
  const std::int64_t now = history.latest();
  const double profile = day_profile(history, grid(), ahead());
  for (const Scale scale : kFitted) {
    const std::size_t row = row_of(scale);
    next.rows[row] = mean_features(history, grid(), {scale, ahead(), profile, constants_[row]});
  }
  next.said[0] = history.at(Scale::kPlain, now);
  for (std::size_t i = 0; i < kRidges; ++i) {
    const Scale scale = ridges_[i].scale();
    next.said[i + 1] =
        from_scale(scale, history.at(scale, now) + ridges_[i].predict(next.rows[row_of(scale)]));
  }
  const double mean = learned() ? mix_.mix(next.said) : next.said[0];
  return {mean, spread_from(next, history, mean)};
}

double EnsembleHorizon::spread_from(InFlight& next, const LoadHistory& history, double mean) const noexcept {
  const double root = std::sqrt(mean);
  const double long_spread = residuals().long_spread();
  next.spread_row = {1.0,
                     root,
                     long_spread,
                     residuals().short_spread(),
                     std::max(residuals().latest(), 0.0),
                     std::abs(root - history.at(Scale::kRoot, history.latest()))};
  return learned() ? kSpreadPerPositive *
                         std::max(spread_ridge_.predict(next.spread_row), kSpreadFloor * long_spread)
                   : long_spread;
}

}  // namespace resilience
