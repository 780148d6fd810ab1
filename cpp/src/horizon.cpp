#include "resilience/horizon.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {
constexpr double kLongDays = 3.0;
constexpr double kQuantileDays = 7.0;
constexpr double kLargestWeight = 1e100;
constexpr double kMiddleMass = 1.0;  // before anything is known the median is the mean
}  // namespace

Residuals::Residuals(const StepGrid& grid)
    : keep_(grid.keep(kQuantileDays * kSecondsPerDay)),
      long_square_(grid.keep(kLongDays * kSecondsPerDay)),
      short_square_(grid.keep(kSecondsPerHour)),
      error_(grid.keep(kLongDays * kSecondsPerDay)),
      load_(grid.keep(kLongDays * kSecondsPerDay)) {
  counts_[kBins / 2] = kMiddleMass;
  total_ = kMiddleMass;
}

void Residuals::add(double residual, double spread, double load, double mean) noexcept {
  const double z = spread > 0.0 ? std::clamp(residual / spread, -kReach, kReach) : 0.0;
  const auto bin =
      static_cast<std::size_t>(std::lround((z + kReach) / (2.0 * kReach) * static_cast<double>(kBins - 1)));
  counts_[bin] += weight_;
  total_ += weight_;
  weight_ /= keep_;  // instead of forgetting in every bin, newer samples weigh more
  if (weight_ > kLargestWeight) {
    rescale();
  }
  long_square_.add(residual * residual);
  short_square_.add(residual * residual);
  error_.add(std::abs(load - mean));
  load_.add(load);
  latest_ = residual;
}

void Residuals::rescale() noexcept {
  for (double& count : counts_) {
    count /= weight_;
  }
  total_ /= weight_;
  weight_ = 1.0;
}

double Residuals::long_spread() const noexcept { return std::sqrt(long_square_.value()); }
double Residuals::short_spread() const noexcept { return std::sqrt(short_square_.value()); }

double Residuals::quantile(double q) const noexcept {
  constexpr double kWidth = 2.0 * kReach / static_cast<double>(kBins - 1);
  const double wanted = q * total_;
  double below = 0.0;
  for (std::size_t i = 0; i < kBins; ++i) {
    if (below + counts_[i] >= wanted && counts_[i] > 0.0) {
      const double share = (wanted - below) / counts_[i];
      return -kReach + kWidth * (static_cast<double>(i) + share - 0.5);
    }
    below += counts_[i];
  }
  return kReach;
}

double Residuals::accuracy() const noexcept {
  const double load = load_.value();
  const double error = error_.value();
  return error > 0.0 ? std::clamp(1.0 - error / std::max(load, error), 0.0, 1.0) : 1.0;
}

Horizon::Horizon(const StepGrid& grid, std::int64_t ahead, std::int64_t warm_up)
    : grid_(grid),
      ahead_(ahead),
      warm_up_(warm_up),
      pending_(static_cast<std::size_t>(ahead)),
      residuals_(grid) {}

void Horizon::update(const LoadHistory& history) {
  const std::int64_t now = history.latest();
  const auto slot = static_cast<std::size_t>(now % ahead_);
  Pending& pending = pending_[slot];
  if (pending.valid && history.measured(now)) {
    const double load = history.at(Scale::kPlain, now);
    learn(history, slot, pending.mean);
    residuals_.add(history.at(Scale::kRoot, now) - std::sqrt(pending.mean), pending.spread, load,
                   pending.mean);
    ++compared_;
  }
  advance(history);
  const Estimate next = estimate(history, slot);
  mean_ = next.mean;
  spread_ = next.spread;
  pending = {next.mean, next.spread, history.measured(now)};
}

double Horizon::quantile(double q) const noexcept {
  const double root = std::max(0.0, std::sqrt(mean_) + residuals_.quantile(q) * spread_);
  return root * root;
}

double Horizon::confidence() const noexcept {
  const double learned = static_cast<double>(compared_) / static_cast<double>(warm_up_);
  return std::min(1.0, learned) * residuals_.accuracy();
}

}  // namespace resilience
