#include "resilience/allocator.hpp"

#include <algorithm>
#include <cmath>
#include <ranges>

namespace resilience {

namespace {

constexpr std::size_t kAuditEntries = 1024;
constexpr std::size_t kHold = 3;               // lower proposals in a row before a size goes down
constexpr double kAssumedRpmPerWorker = 10.0;  // as documented: 100 requests a minute, 10 workers
constexpr double kConnectionUse = 0.8;         // of a pool, under the reactive rule
constexpr double kBusyCores = 0.05;            // below it, CPU says nothing about capacity
constexpr double kTightMemory = 0.9;
constexpr std::int64_t kCacheStepMb = 50;
constexpr std::int64_t kTrendHold = 3;
constexpr double kQuantile = 0.9;

ForecasterConfig forecaster_config(const AllocatorConfig& config, ForecastKind kind) {
  return {config.interval, config.lead_time, kind, 0.0};
}

ProvisionerConfig provisioner_config(const AllocatorConfig& config, Resource resource) {
  const std::size_t i = index_of(resource);
  const bool workers = resource == Resource::kWorkers;
  return {.capacity_per_unit = workers ? kAssumedRpmPerWorker : 1.0,
          .target_utilization = workers ? 0.7 : kConnectionUse,
          .start_delay = std::min(config.lead_time, kSecondsPerDay),
          .min_units = static_cast<double>(config.least[i]),
          .max_units = static_cast<double>(config.limits[i])};
}

}  // namespace

InvalidArgument AllocatorConfig::validate() const {
  if (auto problem = require(interval >= 1.0 && interval <= kSecondsPerHour, "interval",
                             "a number of seconds in [1, 3600]", interval)) {
    return problem;
  }
  if (auto problem = require(history_days >= 1.0 && history_days <= 28.0, "history_days",
                             "a number of days in [1, 28]", history_days)) {
    return problem;
  }
  constexpr std::int64_t kMost = 1'000'000;
  for (std::size_t i = 0; i < kResourceNames.size(); ++i) {
    const std::string name(kResourceNames[i]);
    if (auto problem = require(limits[i] >= 1 && limits[i] <= kMost, "limits max_" + name,
                               "a whole number in [1, 1000000]", static_cast<double>(limits[i]))) {
      return problem;
    }
    if (auto problem = require(least[i] >= 0 && least[i] <= limits[i], "limits min_" + name,
                               "a whole number in [0, max_" + name + "]", static_cast<double>(least[i]))) {
      return problem;
    }
    if (auto problem = require(initial[i] >= 0 && initial[i] <= limits[i], "initial " + name,
                               "a whole number in [0, max_" + name + "]", static_cast<double>(initial[i]))) {
      return problem;
    }
  }
  return forecaster_config(*this, kind).validate();
}

Allocator::Allocator(const AllocatorConfig& config)
    : config_(config),
      rpm_(std::make_shared<Forecaster>(forecaster_config(config, config.kind))),
      connections_(std::make_shared<Forecaster>(forecaster_config(config, config.kind))),
      response_time_(forecaster_config(
          config, config.kind == ForecastKind::kSimilarPeriods ? config.kind : ForecastKind::kEwma)),
      workers_provisioner_(rpm_, provisioner_config(config, Resource::kWorkers)),
      connections_provisioner_(connections_, provisioner_config(config, Resource::kConnections)),
      hysteresis_{Hysteresis(kHold), Hysteresis(kHold)},
      start_delays_{StartDelay(std::min(config.lead_time, kSecondsPerDay)),
                    StartDelay(std::min(config.lead_time, kSecondsPerDay))},
      rpm_per_core_(StepGrid{config.interval}.keep(kSecondsPerDay)),
      rpm_per_worker_(kAssumedRpmPerWorker),
      capacity_(static_cast<std::size_t>(config.history_days *
                                         static_cast<double>(StepGrid{config.interval}.day()))),
      current_(config.initial) {}

double Allocator::start_delay(Resource resource) const noexcept {
  return resource == Resource::kCacheSizeMb ? 0.0 : start_delays_[index_of(resource)].seconds();
}

std::string_view Allocator::rule() const noexcept {
  if (documented()) {
    return "similar_periods";
  }
  const std::string_view decided = workers_provisioner_.decision().rule;
  return decided.empty() ? "reactive" : decided;
}

void Allocator::started(Resource resource, double seconds) {
  if (resource == Resource::kCacheSizeMb) {
    return;  // a cache serves at once
  }
  StartDelay& delay = start_delays_[index_of(resource)];
  delay.measured(std::clamp(seconds, 1.0, kSecondsPerDay));
  Provisioner& provisioner = resource == Resource::kWorkers ? workers_provisioner_ : connections_provisioner_;
  provisioner.set_start_delay(delay.seconds());
}

void Allocator::remember(const LoadSample& sample, std::int64_t steps) {
  const auto most = static_cast<std::int64_t>(capacity_);
  for (std::int64_t back = std::min(steps, most) - 1; back >= 1; --back) {
    workers_provisioner_.observe(std::nullopt);
    connections_provisioner_.observe(std::nullopt);
    response_time_.observe(std::nullopt);
    history_.push_back({.time = sample.time - static_cast<double>(back) * config_.interval});
  }
  history_.push_back(sample);
  while (history_.size() > capacity_) {
    history_.pop_front();
  }
}

// A worker is full when it keeps a core busy; until that can be measured the documented ratio holds.
void Allocator::learn_capacity(const LoadSample& sample) noexcept {
  if (sample.rpm && sample.cpu_cores && *sample.cpu_cores > kBusyCores && *sample.rpm > 0.0) {
    rpm_per_core_.add(*sample.rpm / *sample.cpu_cores);
    rpm_per_worker_ = rpm_per_core_.value();
    workers_provisioner_.set_capacity(rpm_per_worker_);
  }
}

std::span<const AuditEntry> Allocator::observe(const LoadSample& sample, std::int64_t steps) {
  proposals_.clear();
  if (history_.empty()) {
    rpm_->start_at(sample.time);
    connections_->start_at(sample.time);
    response_time_.start_at(sample.time);
  }
  remember(sample, steps);
  learn_capacity(sample);
  response_time_.observe(sample.response_time);
  if (documented()) {
    follow_similar_periods(sample);
  } else {
    follow_provisioners(sample);
    follow_trend(sample);
  }
  return proposals_;
}

void Allocator::replay(const LoadSample& sample, std::int64_t steps) {
  replaying_ = true;
  observe(sample, steps);
  replaying_ = false;
}

AuditEntry Allocator::reasons(const Forecaster& forecaster, std::optional<double> measured,
                              std::string_view rule) noexcept {
  AuditEntry entry;
  entry.rule = rule;
  entry.measured = measured.value_or(std::nan(""));
  entry.forecast = forecaster.mean();
  entry.quantile = kQuantile;
  entry.forecast_at_quantile = forecaster.quantile(kQuantile);
  entry.confidence = forecaster.confidence();
  return entry;
}

void Allocator::propose(Resource resource, std::int64_t wanted, const AuditEntry& reasons) {
  const std::size_t i = index_of(resource);
  if (wanted == current_[i] || replaying_) {
    return;
  }
  const std::int64_t within =
      std::clamp(wanted, std::min(config_.least[i], config_.limits[i]), config_.limits[i]);
  if (within == current_[i]) {
    return;
  }
  AuditEntry entry = reasons;
  entry.id = next_id_++;
  entry.time = history_.back().time;
  entry.resource = resource;
  entry.from = current_[i];
  entry.to = within;
  proposals_.push_back(entry);
  audit_.push_back(entry);
  if (audit_.size() > kAuditEntries) {
    audit_.pop_front();
  }
}

void Allocator::follow_similar_periods(const LoadSample& sample) {
  workers_provisioner_.observe(sample.rpm);  // keeps the reactive shadow and the backtest's ground warm
  connections_provisioner_.observe(sample.connections);
  const SimilarPeriodsInput input{rpm_->mean(), connections_->mean(), rpm_->confidence(),
                                  rpm_->trend() == Trend::kIncreasing};
  const Sizes sizes = similar_periods_sizes(input, current_, config_.limits);
  propose(Resource::kWorkers, sizes[0], reasons(*rpm_, sample.rpm, "similar_periods"));
  propose(Resource::kConnections, sizes[1], reasons(*connections_, sample.connections, "similar_periods"));
  propose(Resource::kCacheSizeMb, sizes[2], reasons(*rpm_, sample.rpm, "similar_periods"));
}

void Allocator::follow_provisioners(const LoadSample& sample) {
  const auto follow = [&](Resource resource, Provisioner& provisioner, std::optional<double> load) {
    const std::size_t i = index_of(resource);
    const std::int64_t wanted = hysteresis_[i].settle(current_[i], provisioner.observe(load));
    AuditEntry why = reasons(provisioner.forecaster(), load, provisioner.decision().rule);
    why.margin = provisioner.decision().margin;
    propose(resource, wanted, why);
  };
  follow(Resource::kWorkers, workers_provisioner_, sample.rpm);
  follow(Resource::kConnections, connections_provisioner_, sample.connections);
}

// The cache grows while the load does and gives back when it falls or memory is tight.
void Allocator::follow_trend(const LoadSample& sample) {
  const std::int64_t cache = current_[index_of(Resource::kCacheSizeMb)];
  const Trend trend = rpm_->trend();
  if (sample.memory_fraction.value_or(0.0) > kTightMemory) {
    trend_steps_ = 0;
    propose(Resource::kCacheSizeMb, cache - kCacheStepMb, reasons(*rpm_, sample.rpm, "memory"));
    return;
  }
  if (trend == Trend::kIncreasing) {
    trend_steps_ = std::max<std::int64_t>(trend_steps_, 0) + 1;
  } else if (trend == Trend::kDecreasing) {
    trend_steps_ = std::min<std::int64_t>(trend_steps_, 0) - 1;
  } else {
    trend_steps_ = 0;
  }
  if (std::abs(trend_steps_) >= kTrendHold) {
    const std::int64_t change = trend_steps_ > 0 ? kCacheStepMb : -kCacheStepMb;
    trend_steps_ = 0;
    propose(Resource::kCacheSizeMb, cache + change, reasons(*rpm_, sample.rpm, "trend"));
  }
}

void Allocator::settle(std::int64_t id, ResizeOutcome outcome, std::int64_t actual) {
  const auto found =
      std::ranges::find_if(std::views::reverse(audit_), [id](const AuditEntry& e) { return e.id == id; });
  if (found == audit_.rend()) {
    return;
  }
  found->outcome = outcome;
  if (outcome == ResizeOutcome::kApplied) {
    current_[index_of(found->resource)] = actual;
  }
}

}  // namespace resilience
