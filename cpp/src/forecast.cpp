#include "resilience/forecast.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "resilience/ensemble_horizon.hpp"
#include "resilience/forecast_features.hpp"
#include "resilience/simple_forecasts.hpp"

namespace resilience {

namespace {

constexpr std::int64_t kTrendSteps = 10;
constexpr double kTrendLimit = 0.5;  // of the load's unit, a step
constexpr double kLongestLead = 7.0 * kSecondsPerDay;

std::size_t capacity_for(const StepGrid& grid, std::int64_t lead) {
  return static_cast<std::size_t>(kFeatureWeeks * grid.week() + lead + 2 * grid.hour() + 2);
}

}  // namespace

std::optional<ForecastKind> forecast_kind(std::string_view name) noexcept {
  const auto* found = std::ranges::find(kForecastKinds, name);
  if (found == kForecastKinds.end()) {
    return std::nullopt;
  }
  return static_cast<ForecastKind>(found - kForecastKinds.begin());
}

std::string_view trend_name(Trend trend) noexcept {
  constexpr std::array<std::string_view, 3> kNames{"decreasing", "stable", "increasing"};
  return kNames[static_cast<std::size_t>(trend)];
}

double recent_slope(const LoadHistory& history) noexcept {
  const std::int64_t first = history.count() - kTrendSteps;
  double n = 0.0;
  double sum_x = 0.0;
  double sum_y = 0.0;
  double sum_xx = 0.0;
  double sum_xy = 0.0;
  for (std::int64_t i = 0; i < kTrendSteps; ++i) {
    if (history.holds(first + i) && history.measured(first + i)) {
      const auto x = static_cast<double>(i);
      const double y = history.at(Scale::kPlain, first + i);
      n += 1.0;
      sum_x += x;
      sum_y += y;
      sum_xx += x * x;
      sum_xy += x * y;
    }
  }
  const double spread = n * sum_xx - sum_x * sum_x;
  return spread > 0.0 ? (n * sum_xy - sum_x * sum_y) / spread : 0.0;
}

Trend trend_of(double slope) noexcept {
  if (slope > kTrendLimit) {
    return Trend::kIncreasing;
  }
  return slope < -kTrendLimit ? Trend::kDecreasing : Trend::kStable;
}

InvalidArgument ForecasterConfig::validate() const {
  InvalidArgument problem =
      require(step >= 1.0 && step <= kSecondsPerDay, "step", "a number of seconds in [1, 86400]", step);
  if (problem.ok()) {
    problem = require(lead_time > 0.0 && lead_time <= kLongestLead, "lead_time",
                      "a number of seconds in (0, 604800]", lead_time);
  }
  if (problem.ok()) {
    problem = require(std::isfinite(start_time), "start_time", "a finite number of UNIX seconds", start_time);
  }
  return problem;
}

Forecaster::Forecaster(const ForecasterConfig& config)
    : config_(config), grid_{config.step}, history_(capacity_for(grid_, grid_.covering(config.lead_time))) {
  horizons_.push_back(make(grid_.covering(config_.lead_time)));
}

std::unique_ptr<Horizon> Forecaster::make(std::int64_t ahead) const {
  const auto simple = [&](std::unique_ptr<PointModel> model) {
    return std::make_unique<SimpleHorizon>(grid_, ahead, std::move(model));
  };
  switch (config_.kind) {
    case ForecastKind::kLastValue:
      return simple(std::make_unique<LastValueModel>());
    case ForecastKind::kEwma:
      return simple(std::make_unique<EwmaModel>());
    case ForecastKind::kDayProfile:
      return simple(std::make_unique<ProfileModel>(grid_, ahead, ProfileModel::Season::kDay));
    case ForecastKind::kWeekProfile:
      return simple(std::make_unique<ProfileModel>(grid_, ahead, ProfileModel::Season::kWeek));
    case ForecastKind::kHoltWinters:
      return simple(std::make_unique<HoltWintersModel>(grid_, ahead));
    case ForecastKind::kSimilarPeriods: {
      const double lead = ahead == grid_.covering(config_.lead_time)
                              ? config_.lead_time
                              : static_cast<double>(ahead) * grid_.step_seconds;
      return simple(std::make_unique<SimilarPeriodsModel>(grid_, config_.start_time, lead));
    }
    case ForecastKind::kEnsemble:
      break;
  }
  return std::make_unique<EnsembleHorizon>(grid_, ahead);
}

double Forecaster::filled() const noexcept {
  if (history_.count() == 0) {
    return 0.0;
  }
  return history_.count() > grid_.day() ? day_profile(history_, grid_, 1)
                                        : history_.at(Scale::kPlain, history_.latest());
}

void Forecaster::start_at(double time) {
  config_.start_time = time;
  for (auto& horizon : horizons_) {
    horizon = make(horizon->ahead());
  }
}

void Forecaster::observe(std::optional<double> value) {
  if (!value && history_.count() == 0) {
    start_at(config_.start_time + config_.step);  // the series begins with its first measurement
    return;
  }
  history_.push(value ? *value : filled(), value.has_value());
  for (const auto& horizon : horizons_) {
    horizon->update(history_);
  }
}

const Horizon& Forecaster::horizon(std::int64_t ahead) {
  for (const auto& known : horizons_) {
    if (known->ahead() == ahead) {
      return *known;
    }
  }
  auto made = make(ahead);
  LoadHistory replayed(history_.capacity());
  const std::int64_t held = std::min(history_.count(), static_cast<std::int64_t>(history_.capacity()));
  for (std::int64_t step = history_.count() - held; step < history_.count(); ++step) {
    replayed.push(history_.at(Scale::kPlain, step), history_.measured(step));
    made->update(replayed);
  }
  horizons_.push_back(std::move(made));
  return *horizons_.back();
}

}  // namespace resilience
