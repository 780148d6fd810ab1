// Forecasts of one load: one value a step in, mean and quantiles of the value `lead_time` ahead out.
//
// The forecaster keeps the load's last weeks and one Horizon for each distance somebody asked about:
// its own lead time, and those a Provisioner needs on the way there. Gaps are filled for alignment only;
// nothing is learned from them.
//
// Thread-safety: none; one owner. observe is O(horizons), about 10 us; forecast is O(quantiles).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "resilience/error.hpp"
#include "resilience/horizon.hpp"
#include "resilience/load_history.hpp"
#include "resilience/step_grid.hpp"

namespace resilience {

enum class ForecastKind : std::uint8_t {
  kEnsemble,
  kSimilarPeriods,
  kHoltWinters,
  kDayProfile,
  kWeekProfile,
  kEwma,
  kLastValue,
};
inline constexpr std::array<std::string_view, 7> kForecastKinds{
    "ensemble", "similar_periods", "holt_winters", "day_profile", "week_profile", "ewma", "last_value"};
[[nodiscard]] std::optional<ForecastKind> forecast_kind(std::string_view name) noexcept;

enum class Trend : std::uint8_t { kDecreasing, kStable, kIncreasing };
[[nodiscard]] std::string_view trend_name(Trend trend) noexcept;
// Least-squares slope a step of the measured values among the last ten, and its class at +-0.5.
[[nodiscard]] double recent_slope(const LoadHistory& history) noexcept;
[[nodiscard]] Trend trend_of(double slope) noexcept;

struct ForecasterConfig {
  double step = 60.0;        // seconds between values
  double lead_time = 900.0;  // seconds
  ForecastKind kind = ForecastKind::kEnsemble;
  double start_time = 0.0;  // UNIX seconds of the first value

  [[nodiscard]] InvalidArgument validate() const;
};

class Forecaster {
 public:
  // REQUIRES: config.validate().ok().
  explicit Forecaster(const ForecasterConfig& config);

  // The value of the next step; nothing is a gap. REQUIRES: finite and >= 0.
  void observe(std::optional<double> value);

  // UNIX seconds of the first value, once they are known. REQUIRES: nothing observed yet.
  void start_at(double time);

  // The value lead_time ahead. 0 before the first value.
  [[nodiscard]] double mean() const noexcept { return lead().mean(); }
  [[nodiscard]] double quantile(double q) const noexcept {
    return lead().quantile(q);
  }  // REQUIRES: 0 < q < 1
  [[nodiscard]] double confidence() const noexcept {
    return history_.count() > 0 ? lead().confidence() : 0.0;
  }
  [[nodiscard]] Trend trend() const noexcept { return trend_of(recent_slope(history_)); }

  // The horizon `ahead` steps away, made on demand: a new one learns from the values already held.
  // The reference holds until the next call.
  const Horizon& horizon(std::int64_t ahead);

  [[nodiscard]] const ForecasterConfig& config() const noexcept { return config_; }
  [[nodiscard]] const StepGrid& grid() const noexcept { return grid_; }
  [[nodiscard]] const LoadHistory& history() const noexcept { return history_; }
  [[nodiscard]] bool learned() const noexcept { return lead().learned(); }

 private:
  [[nodiscard]] const Horizon& lead() const noexcept { return *horizons_.front(); }
  [[nodiscard]] std::unique_ptr<Horizon> make(std::int64_t ahead) const;
  [[nodiscard]] double filled() const noexcept;

  ForecasterConfig config_;
  StepGrid grid_;
  LoadHistory history_;
  std::vector<std::unique_ptr<Horizon>> horizons_;  // the first is the lead time's
};

}  // namespace resilience
