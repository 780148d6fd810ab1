#include "resilience/forecast_features.hpp"

#include <algorithm>

namespace resilience {

namespace {

constexpr int kProfileDays = 7;
constexpr int kProfileWeeks = 4;
constexpr double kLevelRange = 4.0;
constexpr double kTiny = 1e-9;

// Reads a history relative to its latest step.
class View {
 public:
  View(const LoadHistory& history, Scale scale) noexcept
      : history_(history), scale_(scale), now_(history.latest()), present_(history.at(scale, now_)) {}

  [[nodiscard]] double present() const noexcept { return present_; }
  [[nodiscard]] double back(std::int64_t lag) const noexcept {
    return history_.holds(now_ - lag) && lag >= 0 ? history_.at(scale_, now_ - lag) : present_;
  }
  // Mean of the `width` steps that end `lag` steps ago.
  [[nodiscard]] double trailing(std::int64_t width, std::int64_t lag = 0) const noexcept {
    return lag == 0 || history_.holds(now_ - lag)
               ? history_.mean(scale_, now_ - lag - width + 1, now_ - lag, present_)
               : present_;
  }
  // Mean of the `width` steps around the one `lag` steps ago.
  [[nodiscard]] double around(std::int64_t width, std::int64_t lag) const noexcept {
    const std::int64_t centre = now_ - lag;
    return history_.holds(centre)
               ? history_.mean(scale_, centre - width / 2, centre + (width - 1) / 2, present_)
               : present_;
  }
  // Mean of the values `lag + j seasons` ago, j = 0…count - 1.
  [[nodiscard]] double seasonal(std::int64_t lag, std::int64_t season, int count) const noexcept {
    double sum = 0.0;
    for (int j = 0; j < count; ++j) {
      sum += back(lag + j * season);
    }
    return sum / count;
  }
  [[nodiscard]] double daily_trailing(std::int64_t lag, std::int64_t day, std::int64_t width) const noexcept {
    double sum = 0.0;
    for (int j = 0; j < kProfileDays; ++j) {
      sum += trailing(width, lag + j * day);
    }
    return sum / kProfileDays;
  }

 private:
  const LoadHistory& history_;
  Scale scale_;
  std::int64_t now_;
  double present_;
};

// The shortest lag of whole seasons that reaches from the target back to something already seen.
std::int64_t seasonal_lag(std::int64_t season, std::int64_t ahead) noexcept {
  const std::int64_t seasons = (ahead + season - 1) / season;
  return seasons * season - ahead;
}

double at_level(double shape_then, double load_now, double shape_now) noexcept {
  return std::max(shape_then, 0.0) *
         std::clamp(load_now / std::max(shape_now, kTiny), 1.0 / kLevelRange, kLevelRange);
}

}  // namespace

double day_profile(const LoadHistory& history, const StepGrid& grid, std::int64_t ahead) noexcept {
  const View plain(history, Scale::kPlain);
  const std::int64_t day = grid.day();
  const std::int64_t half_hour = grid.steps(kSecondsPerHour / 2);
  return at_level(plain.seasonal(seasonal_lag(day, ahead), day, kProfileDays), plain.trailing(half_hour),
                  plain.daily_trailing(day, day, half_hour));
}

double week_profile(const LoadHistory& history, const StepGrid& grid, std::int64_t ahead) noexcept {
  const View plain(history, Scale::kPlain);
  const std::int64_t hour = grid.hour();
  return at_level(plain.around(hour, seasonal_lag(grid.week(), ahead)), plain.trailing(hour),
                  plain.trailing(hour, grid.week()));
}

FeatureRow mean_features(const LoadHistory& history, const StepGrid& grid,
                         const FeatureSettings& settings) noexcept {
  const View view(history, settings.scale);
  const std::int64_t day = grid.day();
  const std::int64_t week = grid.week();
  const std::int64_t hour = grid.hour();
  const std::int64_t day_lag = seasonal_lag(day, settings.ahead);
  const std::int64_t week_lag = seasonal_lag(week, settings.ahead);
  FeatureRow row{
      view.back(1),
      view.back(2),
      view.trailing(grid.steps(kSecondsPerHour / 4)),
      view.trailing(hour),
      view.trailing(3 * hour),
      view.trailing(day),
      view.around(hour, day_lag),
      view.around(hour, week_lag),
      view.trailing(hour, day),
      view.trailing(hour, week),
      view.seasonal(day_lag, day, kProfileDays),
      view.seasonal(day, day, kProfileDays),
      to_scale(settings.scale, settings.day_profile),
      view.back(day_lag),
      view.back(day),
      view.back(week_lag),
      view.back(week),
      view.seasonal(week_lag, week, kProfileWeeks),
      view.seasonal(week, week, kProfileWeeks),
      view.back(day_lag + 1),
      view.back(std::max<std::int64_t>(week_lag - 1, 0)),
      0.0,
  };
  for (double& value : row) {
    value -= view.present();
  }
  row.back() = settings.constant;
  return row;
}

}  // namespace resilience
