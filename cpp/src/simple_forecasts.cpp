#include "resilience/simple_forecasts.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "resilience/forecast_features.hpp"

namespace resilience {

namespace {

constexpr double kEwmaWeight = 0.3;
constexpr double kDamping = 0.95;
constexpr double kTrendGain = 0.01;
constexpr std::array<double, 6> kLevelGain{0.05, 0.2, 0.5, 0.05, 0.2, 0.5};
constexpr std::array<double, 6> kSeasonGain{0.05, 0.05, 0.05, 0.3, 0.3, 0.3};
constexpr std::int64_t kSimilarMinimum = 60;  // samples seen before it says anything
constexpr double kSimilarEnough = 10.0;       // similar samples for full confidence

}  // namespace

double LastValueModel::predict(const LoadHistory& history) const {
  return history.at(Scale::kPlain, history.latest());
}

void EwmaModel::observe(const LoadHistory& history) {
  const double load = history.at(Scale::kPlain, history.latest());
  if (!started_) {
    level_ = load;
    started_ = true;
  } else if (history.measured(history.latest())) {
    level_ += kEwmaWeight * (load - level_);
  }
}

double ProfileModel::predict(const LoadHistory& history) const {
  return season_ == Season::kDay ? day_profile(history, grid_, ahead_) : week_profile(history, grid_, ahead_);
}

HoltWintersModel::HoltWintersModel(const StepGrid& grid, std::int64_t ahead)
    : grid_(grid),
      ahead_(ahead),
      damped_steps_(kDamping * (1.0 - std::pow(kDamping, static_cast<double>(ahead))) / (1.0 - kDamping)),
      keep_(grid.keep(kSecondsPerDay)) {}

void HoltWintersModel::start(const LoadHistory& history) {
  const std::int64_t day = grid_.day();
  const double level = history.mean(Scale::kPlain, history.latest() - day + 1, history.latest(), 0.0);
  for (Smoother& smoother : smoothers_) {
    smoother.level = level;
    smoother.season.resize(static_cast<std::size_t>(day));
    smoother.said.assign(static_cast<std::size_t>(ahead_), level);
    for (std::int64_t back = 0; back < day; ++back) {
      const std::int64_t step = history.latest() - back;
      smoother.season[static_cast<std::size_t>(step % day)] = history.at(Scale::kPlain, step) - level;
    }
  }
  started_ = true;
}

void HoltWintersModel::smooth(Smoother& smoother, std::size_t set, std::int64_t now,
                              double load) const noexcept {
  double& season = smoother.season[static_cast<std::size_t>(now % grid_.day())];
  const double before = smoother.level;
  smoother.level = kLevelGain[set] * (load - season) +
                   (1.0 - kLevelGain[set]) * (smoother.level + kDamping * smoother.trend);
  smoother.trend = kTrendGain * (smoother.level - before) + (1.0 - kTrendGain) * kDamping * smoother.trend;
  season = kSeasonGain[set] * (load - smoother.level) + (1.0 - kSeasonGain[set]) * season;
}

void HoltWintersModel::observe(const LoadHistory& history) {
  const std::int64_t now = history.latest();
  if (!started_) {
    if (history.count() >= grid_.day()) {
      start(history);
    }
    return;
  }
  const double load = history.at(Scale::kPlain, now);
  const auto target = static_cast<std::size_t>((now + ahead_) % grid_.day());
  for (std::size_t set = 0; set < kSets; ++set) {
    Smoother& smoother = smoothers_[set];
    double& said = smoother.said[static_cast<std::size_t>(now % ahead_)];
    if (history.measured(now)) {
      smoother.recent_error = keep_ * smoother.recent_error + std::abs(load - said);
      smooth(smoother, set, now, load);
    }
    said = std::max(0.0, smoother.level + damped_steps_ * smoother.trend + smoother.season[target]);
  }
}

double HoltWintersModel::predict(const LoadHistory& history) const {
  if (!started_) {
    return history.at(Scale::kPlain, history.latest());
  }
  const auto* const best = std::ranges::min_element(
      smoothers_, [](const auto& a, const auto& b) { return a.recent_error < b.recent_error; });
  const auto target = static_cast<std::size_t>((history.latest() + ahead_) % grid_.day());
  return std::max(0.0, best->level + damped_steps_ * best->trend + best->season[target]);
}

void SimilarPeriodsModel::add_hour(const LoadHistory& history, double hour_start, double& sum) noexcept {
  const double first = std::ceil((hour_start - start_time_) / grid_.step_seconds);
  const double end = std::ceil((hour_start + kSecondsPerHour - start_time_) / grid_.step_seconds);
  const std::int64_t oldest = std::max<std::int64_t>(0, history.count() - grid_.week());
  const std::int64_t from = std::max(static_cast<std::int64_t>(first), oldest);
  const std::int64_t to = std::min(static_cast<std::int64_t>(end), history.count());
  for (std::int64_t step = from; step < to; ++step) {
    if (history.holds(step) && history.measured(step)) {
      sum += history.at(Scale::kPlain, step);
      ++similar_;
    }
  }
}

void SimilarPeriodsModel::observe(const LoadHistory& history) {
  measured_ += history.measured(history.latest()) ? 1 : 0;
  if (const std::int64_t left = history.latest() - grid_.week();
      history.holds(left) && history.measured(left)) {
    --measured_;
  }
  const double now = start_time_ + static_cast<double>(history.latest()) * grid_.step_seconds;
  const double hour = std::floor((now + lead_seconds_) / kSecondsPerHour) * kSecondsPerHour;
  const double week = 7.0 * kSecondsPerDay;
  double sum = 0.0;
  similar_ = 0;
  for (int ago = 0; hour - ago * week > now - week - kSecondsPerHour; ++ago) {
    add_hour(history, hour - ago * week, sum);
  }
  mean_ = similar_ > 0 ? sum / static_cast<double>(similar_) : 0.0;
  confidence_ =
      measured_ >= kSimilarMinimum ? std::min(static_cast<double>(similar_) / kSimilarEnough, 1.0) : 0.0;
}

double SimilarPeriodsModel::predict(const LoadHistory& history) const {
  return confidence_ > 0.0 ? mean_ : history.at(Scale::kPlain, history.latest());
}

SimpleHorizon::SimpleHorizon(const StepGrid& grid, std::int64_t ahead, std::unique_ptr<PointModel> model)
    : Horizon(grid, ahead, grid.day()), model_(std::move(model)) {}

double SimpleHorizon::confidence() const noexcept {
  const double own = model_->confidence();
  return own < 0.0 ? Horizon::confidence() : own;
}

Horizon::Estimate SimpleHorizon::estimate(const LoadHistory& history, std::size_t) {
  return {model_->predict(history), residuals().long_spread()};
}

}  // namespace resilience
