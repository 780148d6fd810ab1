#include "resilience/adaptive_limit.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

InvalidArgument AdaptiveLimitConfig::validate() const {
  if (auto bad = require(min >= 1, "min", "an integer >= 1", static_cast<double>(min))) {
    return bad;
  }
  if (auto bad = require(max >= min, "max", "an integer >= min", static_cast<double>(max))) {
    return bad;
  }
  if (auto bad = require(initial >= min && initial <= max, "initial", "an integer between min and max",
                         static_cast<double>(initial))) {
    return bad;
  }
  if (auto bad =
          require(max_waiting >= 0, "max_waiting", "an integer >= 0", static_cast<double>(max_waiting))) {
    return bad;
  }
  if (auto bad = require(target_wait > 0.0 && target_wait <= 3'600.0, "target_wait",
                         "a number of seconds in (0, 3600]", target_wait)) {
    return bad;
  }
  return require(wait_interval >= target_wait && wait_interval <= 3'600.0, "wait_interval",
                 "a number of seconds in [target_wait, 3600]", wait_interval);
}

LimitEstimator::LimitEstimator(const AdaptiveLimitConfig& config) noexcept
    : algorithm_(config.algorithm),
      min_(static_cast<double>(config.min)),
      max_(static_cast<double>(config.max)),
      limit_(static_cast<double>(config.initial)),
      whole_(config.initial) {}

void LimitEstimator::set(double limit) noexcept {
  limit_ = std::clamp(limit, min_, max_);
  whole_ = static_cast<std::int64_t>(limit_);
}

void LimitEstimator::set_bounds(std::int64_t min, std::int64_t max) noexcept {
  min_ = static_cast<double>(min);
  max_ = static_cast<double>(max);
  set(limit_);
}

void LimitEstimator::on_success(Nanos latency, std::int64_t in_flight) noexcept {
  const auto measured = static_cast<double>(std::max<Nanos>(1, latency));
  switch (algorithm_) {
    case LimitAlgorithm::kGradient2:
      gradient2(measured, in_flight);
      break;
    case LimitAlgorithm::kVegas:
      vegas(measured, in_flight);
      break;
    case LimitAlgorithm::kAimd:
      if (under_pressure(in_flight)) {
        set(limit_ + 1.0);
      }
      break;
  }
}

void LimitEstimator::on_drop() noexcept {
  constexpr double kBackOff = 0.9;
  // At least one less, or small limits would never fall.
  set(std::min(limit_ - 1.0, std::floor(limit_ * kBackOff)));
}

void LimitEstimator::gradient2(double latency, std::int64_t in_flight) noexcept {
  constexpr std::int64_t kWarmUp = 10;
  constexpr double kLongFactor = 2.0 / (600.0 + 1.0);
  constexpr double kTolerance = 1.5;
  constexpr double kQueue = 4.0;
  constexpr double kSmoothing = 0.2;

  if (samples_ < kWarmUp) {
    ++samples_;
    long_latency_ += (latency - long_latency_) / static_cast<double>(samples_);
  } else {
    long_latency_ += (latency - long_latency_) * kLongFactor;
  }
  if (long_latency_ > 2.0 * latency) {
    long_latency_ *= 0.95;  // load has gone: forget its latencies faster than the average would
  }
  if (!under_pressure(in_flight)) {
    return;
  }
  const double gradient = std::clamp(kTolerance * long_latency_ / latency, 0.5, 1.0);
  const double next = limit_ * gradient + kQueue;
  set(limit_ + (next - limit_) * kSmoothing);
}

void LimitEstimator::vegas(double latency, std::int64_t in_flight) noexcept {
  constexpr double kProbeEvery = 30.0;  // times the limit, in samples
  if (static_cast<double>(++samples_) >= kProbeEvery * limit_) {
    samples_ = 0;
    least_latency_ = latency;
    return;
  }
  if (least_latency_ == 0.0 || latency < least_latency_) {
    least_latency_ = latency;
    return;
  }
  if (!under_pressure(in_flight)) {
    return;
  }
  const double step = std::max(1.0, std::floor(std::log10(limit_)));
  const double queue = std::ceil(limit_ * (1.0 - least_latency_ / latency));
  if (queue <= step) {
    set(limit_ + 6.0 * step);
  } else if (queue < 3.0 * step) {
    set(limit_ + step);
  } else if (queue > 6.0 * step) {
    set(limit_ - step);
  }
}

AdaptiveLimit::AdaptiveLimit(const AdaptiveLimitConfig& config) noexcept
    : estimator_(config),
      max_waiting_(config.max_waiting),
      target_(nanos_from_seconds(config.target_wait)),
      interval_(nanos_from_seconds(config.wait_interval)) {}

std::optional<Ticket> AdaptiveLimit::enqueue(std::int64_t priority, Nanos now, std::optional<Ticket>& shed) {
  if (waiting() >= max_waiting_) {
    if (queue_.empty() || queue_.back().priority >= priority) {
      return std::nullopt;
    }
    shed = queue_.back();
    queue_.leave(*shed);
    since_.erase(shed->number);
  }
  if (queue_.empty()) {
    last_empty_ = now;
  }
  const Ticket ticket = queue_.join(priority);
  since_.emplace(ticket.number, now);
  return ticket;
}

bool AdaptiveLimit::leave(const Ticket& ticket, Nanos now) noexcept {
  since_.erase(ticket.number);
  const bool waited = queue_.leave(ticket);
  if (queue_.empty()) {
    last_empty_ = now;
  }
  return waited;
}

void AdaptiveLimit::sample(Nanos started, Nanos now, LimitOutcome outcome) noexcept {
  if (outcome == LimitOutcome::kSuccess) {
    estimator_.on_success(now - started, in_flight_);
  } else if (outcome == LimitOutcome::kDropped && started >= stepped_back_) {
    stepped_back_ = now;
    estimator_.on_drop();
  }
}

void AdaptiveLimit::serve(Nanos now, Woken& woken) {
  const bool standing = now - interval_ > last_empty_;
  const Nanos patience = standing ? target_ : interval_;
  while (!queue_.empty() && in_flight_ < estimator_.limit()) {
    const Ticket ticket = queue_.pop();
    const auto joined = since_.find(ticket.number);
    const Nanos waited = now - joined->second;
    since_.erase(joined);
    if (waited > patience) {
      woken.shed.push_back(ticket);
      continue;
    }
    ++in_flight_;
    woken.served.push_back(ticket);
  }
  if (queue_.empty()) {
    last_empty_ = now;
  }
}

}  // namespace resilience
