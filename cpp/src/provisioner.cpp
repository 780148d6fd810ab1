#include "resilience/provisioner.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace resilience {

namespace {

// The shadows: every margin with every floor, then the reactive rule, then what was really decided.
constexpr std::array<double, 8> kMargins{0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0};
constexpr std::array<double, 6> kFloors{0.0, 1.0 / 3.0, 0.5, 2.0 / 3.0, 0.8, 1.0};
constexpr std::size_t kSettings = kMargins.size() * kFloors.size();
constexpr std::size_t kReactive = kSettings;
constexpr std::size_t kDecided = kSettings + 1;
constexpr std::size_t kFleets = kSettings + 2;
constexpr std::size_t kUnguarded = 4 * kFloors.size() + 3;  // margin 2.5, floor 2/3

constexpr double kEarlierMargin = 1.2;  // a unit that is already warm is kept at a little more
constexpr double kNearMiss = 1.15;      // times the load
constexpr double kPeakHours = 6.0;
constexpr double kReactiveWindow = 900.0;  // seconds before the reactive rule scales down
constexpr double kRounding = 1e-9;
constexpr double kMostUnits = 1e9;

// What is believed of a setting before it has been tried, in days of a usual fleet.
constexpr double kPriorDays = 3.0;
constexpr double kPriorUnitsPerNeed = 1.5;
constexpr double kPriorColdShare = 0.003;

double prior_cold(double margin, double floor) noexcept {
  return std::clamp(1.9 * std::exp(-0.75 * margin) * (1.0 - 0.35 * floor), 0.05, 3.0);
}
double prior_cost(double margin, double floor) noexcept {
  return 0.75 + 0.07 * margin + 0.012 * margin * margin * margin + 0.15 * floor * floor;
}
double above(double value, double limit) noexcept { return std::max(0.0, value - limit); }

double margin_of(std::size_t setting) noexcept { return kMargins[setting / kFloors.size()]; }
double floor_of(std::size_t setting) noexcept { return kFloors[setting % kFloors.size()]; }

}  // namespace

InvalidArgument ProvisionerConfig::validate() const {
  const auto check = [](const InvalidArgument& problem, const InvalidArgument& next) {
    return problem ? problem : next;
  };
  InvalidArgument problem = require(capacity_per_unit > 0.0 && std::isfinite(capacity_per_unit),
                                    "capacity_per_unit", "a finite number > 0", capacity_per_unit);
  problem = check(problem, require(target_utilization > 0.0 && target_utilization <= 1.0,
                                   "target_utilization", "a number in (0, 1]", target_utilization));
  problem = check(problem, require(start_delay > 0.0 && start_delay <= kSecondsPerDay, "start_delay",
                                   "a number of seconds in (0, 86400]", start_delay));
  problem = check(problem, require(min_units >= 0.0 && min_units <= kMostUnits, "min_units",
                                   "a whole number in [0, 1000000000]", min_units));
  return check(problem, require(max_units >= std::max(min_units, 1.0) && max_units <= kMostUnits, "max_units",
                                "a whole number in [max(1, min_units), 1000000000]", max_units));
}

void SlidingMax::add(std::int64_t step, double value) {
  while (!falling_.empty() && falling_.back().second <= value) {
    falling_.pop_back();
  }
  falling_.emplace_back(step, value);
}

void SlidingMax::expire(std::int64_t step) noexcept {
  while (!falling_.empty() && falling_.front().first <= step - width_) {
    falling_.pop_front();
  }
}

std::optional<double> SlidingMax::value() const noexcept {
  return falling_.empty() ? std::nullopt : std::optional(falling_.front().second);
}

Provisioner::Provisioner(std::shared_ptr<Forecaster> forecaster, const ProvisionerConfig& config)
    : forecaster_(std::move(forecaster)),
      config_(config),
      delay_(forecaster_->grid().covering(config.start_delay)),
      recent_load_(window_steps()),
      recent_peak_(forecaster_->grid().steps(kPeakHours * kSecondsPerHour)),
      fleets_(forecaster_->grid(), kFleets, delay_),
      targets_(kFleets),
      kept_(kFleets),
      path_(static_cast<std::size_t>(delay_)),
      need_(forecaster_->grid().keep(7.0 * kSecondsPerDay)),
      chosen_(kReactive),
      reactive_hold_(config.min_units) {
  forecast_path();
}

std::int64_t Provisioner::window_steps() const noexcept {
  return std::max(delay_, forecaster_->grid().steps(kReactiveWindow));
}

void Provisioner::set_start_delay(double seconds) {
  config_.start_delay = seconds;
  const std::int64_t delay = forecaster_->grid().covering(seconds);
  if (delay == delay_) {
    return;
  }
  delay_ = delay;
  recent_load_ = SlidingMax(window_steps());
  fleets_ = ShadowFleets(forecaster_->grid(), kFleets, delay_);
  path_.resize(static_cast<std::size_t>(delay_));
  chosen_ = kReactive;
  scored_ = false;
}

double Provisioner::units_for(double load) const noexcept {
  return std::clamp(std::ceil(load / config_.capacity_per_unit - kRounding), config_.min_units,
                    config_.max_units);
}

double Provisioner::reactive_units(std::int64_t step, std::optional<double> load) {
  recent_load_.expire(step);
  if (load) {
    recent_load_.add(step, *load);
  }
  if (const std::optional<double> largest = recent_load_.value()) {
    reactive_hold_ = units_for(*largest / config_.target_utilization);
  }
  return reactive_hold_;
}

// Forecasts for one step, half the delay and all of it; between them a straight line.
void Provisioner::forecast_path() {
  const std::array<std::int64_t, 3> known{1, (delay_ + 1) / 2, delay_};
  std::int64_t from = 0;
  Ahead last{};
  for (const std::int64_t to : known) {
    const Horizon& horizon = forecaster_->horizon(to);
    const Ahead here{std::sqrt(horizon.mean()), horizon.spread()};
    for (std::int64_t step = from + 1; step <= to; ++step) {
      const double share = static_cast<double>(step - from) / static_cast<double>(to - from);
      Ahead& ahead = path_[static_cast<std::size_t>(step - 1)];
      ahead.root = from == 0 ? here.root : last.root + share * (here.root - last.root);
      ahead.spread = from == 0 ? here.spread : last.spread + share * (here.spread - last.spread);
    }
    from = to;
    last = here;
  }
}

// Every setting's target: what the end of the delay needs, and of what is already on its way only as
// much as can still be warm when a nearer step needs it.
void Provisioner::release_rule(double floor_load) {
  const auto reach = [&](std::int64_t step, double margin) {
    const Ahead& ahead = path_[static_cast<std::size_t>(step - 1)];
    const double root = ahead.root + margin * ahead.spread;
    return units_for(root * root);
  };
  for (std::size_t m = 0; m < kMargins.size(); ++m) {
    std::fill_n(targets_.begin() + static_cast<std::ptrdiff_t>(m * kFloors.size()), kFloors.size(),
                reach(delay_, kMargins[m]));
  }
  std::ranges::fill(kept_, kMostUnits);
  for (std::int64_t step = delay_ - 1; step >= 1; --step) {
    const std::span<const double> past = fleets_.targets(delay_ - step);
    for (std::size_t m = 0; m < kMargins.size(); ++m) {
      const double wanted = reach(step, kEarlierMargin * kMargins[m]);
      for (std::size_t i = m * kFloors.size(); i < (m + 1) * kFloors.size(); ++i) {
        kept_[i] = std::min(kept_[i], past[i]);
        targets_[i] = std::max(targets_[i], std::min(wanted, kept_[i]));
      }
    }
  }
  for (std::size_t i = 0; i < kSettings; ++i) {
    targets_[i] = std::max(targets_[i], units_for(floor_of(i) * floor_load));
  }
}

void Provisioner::shadow_targets(double reactive, double floor_load) {
  if (forecaster_->learned() && fleets_.full()) {
    forecast_path();
    release_rule(floor_load);
  } else {
    std::fill_n(targets_.begin(), kSettings, reactive);
  }
  targets_[kReactive] = reactive;
}

void Provisioner::settle_scores(std::optional<double> load) {
  if (!load) {
    return;
  }
  need_.add(units_for(*load));
  if (!fleets_.full() || !forecaster_->learned()) {
    return;
  }
  if (!scored_) {
    start_scores();
  }
  fleets_.score(units_for(*load), units_for(kNearMiss * *load));
}

void Provisioner::start_scores() noexcept {
  scored_ = true;
  const double days = kPriorDays * static_cast<double>(forecaster_->grid().day());
  const double cost = days * kPriorUnitsPerNeed * std::max(1.0, need_.value());
  const double cold = kPriorColdShare * cost;
  const std::span<FleetScore> scores = fleets_.scores();
  for (std::size_t i = 0; i < kFleets; ++i) {
    const bool setting = i < kSettings;
    const double cold_share = setting ? prior_cold(margin_of(i), floor_of(i)) : 1.0;
    const double cost_share = setting ? prior_cost(margin_of(i), floor_of(i)) : 1.0;
    scores[i] = {cold * cold_share, cost * cost_share, cost / kPriorDays * cost_share, 0.0, 0.0};
  }
}

// The setting with the least penalty: cold and cost relative to the reactive rule, with steep walls
// where it would cost more or be colder, moved inwards by what was really overspent.
void Provisioner::choose() noexcept {
  constexpr double kCostWall = 1.03;
  constexpr double kRecentCostWall = 1.1;
  constexpr double kColdGoal = 0.35;
  constexpr double kColdWall = 0.97;
  constexpr double kDecidedColdWall = 0.95;
  constexpr double kUsualColdShare = 0.001;  // of what is paid: beneath it, more cold steps prove nothing
  constexpr double kLatelyWeight = 8.0;
  const std::span<const FleetScore> scores = fleets_.scores();
  const FleetScore& reactive = scores[kReactive];
  const double cold_unit = std::max(reactive.cold, kRounding);
  const double cost_unit = std::max(reactive.cost, kRounding);
  const double recent_unit = std::max(reactive.recent_cost, kRounding);
  const double overspent = above(scores[kDecided].cost / cost_unit, kCostWall);
  const double too_cold = above(scores[kDecided].cold / cold_unit, kDecidedColdWall);
  const double usual_cold = std::max(kUsualColdShare * reactive.recent_paid, kRounding);
  const auto colder_lately = [&](std::size_t i) {  // than the reactive rule, as a share of its own
    return above((scores[i].recent_cold + usual_cold) / (reactive.recent_cold + usual_cold), 1.0);
  };
  double least = 0.0;
  for (std::size_t i = 0; i <= kReactive; ++i) {
    const double cold = scores[i].cold / cold_unit;
    const double cost = scores[i].cost / cost_unit;
    const double recent = scores[i].recent_cost / recent_unit;
    const double lately = i == kReactive ? 0.0 : colder_lately(i);
    const double penalty = cold + 0.3 * cost + 12.0 * above(cost + overspent, kCostWall) +
                           12.0 * above(recent, kRecentCostWall) + 3.0 * above(cold, kColdGoal) +
                           8.0 * above(cold + (i == kReactive ? 0.0 : too_cold), kColdWall) +
                           kLatelyWeight * lately;
    if (i == 0 || penalty < least) {
      least = penalty;
      chosen_ = i;
    }
  }
}

std::int64_t Provisioner::observe(std::optional<double> load) {
  settle_scores(load);
  forecaster_->observe(load);
  const std::int64_t step = forecaster_->history().latest();
  if (load) {
    recent_peak_.add(step, *load);
  }
  recent_peak_.expire(step);
  const double reactive = reactive_units(step, load);
  shadow_targets(reactive, recent_peak_.value().value_or(0.0));
  if (!scored_) {
    chosen_ = kReactive;
  } else if (!config_.guard) {
    chosen_ = kUnguarded;
  } else if (step % forecaster_->grid().hour() == 0) {
    choose();
  }
  double units = targets_[chosen_];
  if (!load) {
    units = std::max(units, static_cast<double>(decision_.units));
  }
  targets_[kDecided] = units;
  fleets_.record(targets_);
  explain(static_cast<std::int64_t>(units), reactive);
  return decision_.units;
}

void Provisioner::explain(std::int64_t units, double reactive) noexcept {
  const bool by_forecast = chosen_ < kSettings;
  decision_ = {units,
               static_cast<std::int64_t>(reactive),
               path_.back().root * path_.back().root,
               by_forecast ? margin_of(chosen_) : 0.0,
               by_forecast ? floor_of(chosen_) : 0.0,
               by_forecast ? "forecast" : "reactive"};
}

}  // namespace resilience
