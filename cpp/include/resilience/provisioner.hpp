// How many units should be provisioned from now on, so that they serve when the load comes.
//
// A unit takes `start_delay` to start. The provisioner forecasts every step of that delay, adds a margin
// in units of the forecast's spread, and lets a unit go only when it could not be warm again in time.
// How large the margin is, and how far below the recent peak it may go, is chosen online: a grid of
// settings and the reactive rule run as shadows; the setting with the best mix of cold unit-steps and
// cost relative to the reactive rule decides. That is the guard: whenever nothing beats the reactive rule,
// the reactive rule decides. Until the forecaster has learned, it decides too.
//
// Thread-safety: none; one owner. A step costs O(settings * delay), about 5 us.
// Source: docs/decisions/allocator.md.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "resilience/error.hpp"
#include "resilience/forecast.hpp"
#include "resilience/shadow_fleets.hpp"

namespace resilience {

struct ProvisionerConfig {
  double capacity_per_unit = 1.0;   // load that one unit serves
  double target_utilization = 0.7;  // of the reactive rule only
  double start_delay = 900.0;       // seconds until a unit serves
  double min_units = 1.0;
  double max_units = 1.0;
  bool guard = true;

  [[nodiscard]] InvalidArgument validate() const;
};

// The largest of the last `width` steps' values, in O(1) a step.
class SlidingMax {
 public:
  explicit SlidingMax(std::int64_t width) noexcept : width_(width) {}
  void add(std::int64_t step, double value);
  void expire(std::int64_t step) noexcept;  // forgets what is `width` steps old
  [[nodiscard]] std::optional<double> value() const noexcept;

 private:
  std::int64_t width_;
  std::deque<std::pair<std::int64_t, double>> falling_;
};

// Why the last decision was what it was.
struct Decision {
  std::int64_t units = 0;
  std::int64_t reactive_units = 0;
  double forecast = 0.0;  // mean load at the end of the start delay
  double margin = 0.0;    // spreads above it; 0 under the reactive rule
  double floor = 0.0;     // share of the recent peak kept; 0 under the reactive rule
  std::string_view rule;  // "reactive" or "forecast"
};

class Provisioner {
 public:
  // REQUIRES: config.validate().ok(), forecaster != nullptr.
  Provisioner(std::shared_ptr<Forecaster> forecaster, const ProvisionerConfig& config);

  // Feeds the forecaster the step's load and decides. A gap never gives units back.
  std::int64_t observe(std::optional<double> load);

  // A unit serves this much load from now on. REQUIRES: > 0 and finite.
  void set_capacity(double capacity_per_unit) noexcept { config_.capacity_per_unit = capacity_per_unit; }
  // The start delay of a unit has been found to be another; the shadows start anew.
  void set_start_delay(double seconds);

  [[nodiscard]] const Decision& decision() const noexcept { return decision_; }
  [[nodiscard]] const ProvisionerConfig& config() const noexcept { return config_; }
  [[nodiscard]] Forecaster& forecaster() noexcept { return *forecaster_; }
  [[nodiscard]] std::span<const FleetScore> scores() const noexcept { return fleets_.scores(); }

 private:
  struct Ahead {  // the forecast of one step, on the square-root scale
    double root;
    double spread;
  };

  [[nodiscard]] double units_for(double load) const noexcept;
  [[nodiscard]] double reactive_units(std::int64_t step, std::optional<double> load);
  void forecast_path();
  void shadow_targets(double reactive, double floor_load);
  void release_rule(double floor_load);
  void settle_scores(std::optional<double> load);
  void start_scores() noexcept;
  void choose() noexcept;
  void explain(std::int64_t units, double reactive) noexcept;
  [[nodiscard]] std::int64_t window_steps() const noexcept;

  std::shared_ptr<Forecaster> forecaster_;
  ProvisionerConfig config_;
  std::int64_t delay_;  // steps
  SlidingMax recent_load_;
  SlidingMax recent_peak_;
  ShadowFleets fleets_;
  std::vector<double> targets_;  // of every fleet, this step
  std::vector<double> kept_;     // scratch of the release rule
  std::vector<Ahead> path_;      // steps 1…delay
  RunningMean need_;
  std::size_t chosen_;
  double reactive_hold_;
  bool scored_ = false;
  Decision decision_;
};

}  // namespace resilience
