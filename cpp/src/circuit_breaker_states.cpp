// The states of a breaker and the ways between them. All transitions happen under mutex_.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "circuit_breaker_parts.hpp"

namespace resilience {

namespace {

std::atomic<std::uint64_t> openings{0};

// A fraction in [0, 1) that differs between breakers, also at one address after another, between the periods
// of one and, through `now`, between forked processes.
double spread(const void* breaker, Nanos now) noexcept {
  const std::uint64_t count = openings.fetch_add(1, std::memory_order_relaxed);
  auto x = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(breaker)) ^
           (static_cast<std::uint64_t>(now) * 0x9E3779B97F4A7C15ULL) ^ (count << 32U);
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;  // splitmix64's finisher
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  x ^= x >> 31U;
  return static_cast<double>(x >> 11U) * 0x1.0p-53;
}

Nanos recovery_time(const CircuitBreakerConfig& config, std::uint32_t reopenings, double fraction) noexcept {
  const auto longest = static_cast<double>(config.max_recovery_timeout);
  const double backed_off = std::min(
      static_cast<double>(config.recovery_timeout) * std::pow(config.recovery_backoff, reopenings), longest);
  return static_cast<Nanos>(std::llround(backed_off * (1.0 - config.recovery_jitter * fraction)));
}

}  // namespace

CircuitBreaker::Periods& CircuitBreaker::periods() {
  if (!periods_) {
    periods_ = std::make_unique<Periods>();
  }
  return *periods_;
}

StateChange CircuitBreaker::enter(BreakerState to, Nanos now) {
  const std::uint32_t word = word_.load(std::memory_order_relaxed);
  const BreakerState from = state_of(word);
  Periods& history = periods();
  history.time_in_state[static_cast<std::size_t>(from)] += std::max<Nanos>(now - state_since_, 0);
  ++history.entered[static_cast<std::size_t>(to)];
  history.held = false;
  if (to == BreakerState::kClosed) {
    history.reopenings = 0;
  } else if (to == BreakerState::kHalfOpen) {
    const CircuitBreakerConfig& settings = config();
    history.trial = HalfOpenTrial(settings.half_open_requests, settings.success_threshold,
                                  settings.half_open_concurrency, settings.probe_timeout);
  }
  if (to != BreakerState::kOpen && to != BreakerState::kForcedOpen) {
    opened_until_.store(-1, std::memory_order_relaxed);
  }
  state_since_ = now;
  word_.store(((generation_of(word) + 1) << kStateBits) | static_cast<std::uint32_t>(to),
              std::memory_order_release);
  return {from, to};
}

StateChange CircuitBreaker::open_for_recovery(Nanos now) {
  Periods& history = periods();
  const double fraction = spread(this, now);
  const Nanos length = recovery_time(config(), history.reopenings, fraction);
  ++history.reopenings;
  opened_until_.store(saturating_add(now, length), std::memory_order_relaxed);
  return enter(BreakerState::kOpen, now);
}

Admission CircuitBreaker::reject(Nanos retry_after) noexcept {
  rejected_.fetch_add(1, std::memory_order_relaxed);
  return {false, {}, retry_after, std::nullopt};
}

Admission CircuitBreaker::acquire(Nanos now) {
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  switch (state_of(word)) {
    case BreakerState::kClosed:
    case BreakerState::kDisabled:
    case BreakerState::kMetricsOnly:
      return {true, {generation_of(word), 0}, -1, std::nullopt};
    case BreakerState::kOpen:
      if (const Nanos until = opened_until_.load(std::memory_order_acquire); now < until) {
        return reject(until - now);
      }
      break;
    case BreakerState::kHalfOpen:
    case BreakerState::kForcedOpen:
      break;
  }
  return acquire_guarded(now);
}

Admission CircuitBreaker::acquire_guarded(Nanos now) {
  const SpinGuard guard(mutex_);
  const std::uint32_t word = word_.load(std::memory_order_relaxed);
  const Nanos until = opened_until_.load(std::memory_order_relaxed);
  switch (state_of(word)) {
    case BreakerState::kClosed:
    case BreakerState::kDisabled:
    case BreakerState::kMetricsOnly:
      return {true, {generation_of(word), 0}, -1, std::nullopt};
    case BreakerState::kForcedOpen:
      if (now < until) {
        return reject(until == kForever ? -1 : until - now);
      } else {
        const StateChange change = enter(BreakerState::kClosed, now);
        clear_windows();
        return {true, {generation_of(word_.load(std::memory_order_relaxed)), 0}, -1, change};
      }
    case BreakerState::kOpen:
      if (now < until) {
        return reject(until - now);
      }
      return admit_probe(now, enter(BreakerState::kHalfOpen, now));
    case BreakerState::kHalfOpen:
      break;
  }
  return admit_probe(now, std::nullopt);
}

Admission CircuitBreaker::admit_probe(Nanos now, std::optional<StateChange> change) {
  HalfOpenTrial& trial = periods().trial;
  const std::uint32_t lease = trial.admit(now);
  if (lease == 0) {
    return reject(trial.next_place_in(now));
  }
  return {true, {generation_of(word_.load(std::memory_order_relaxed)), lease}, -1, change};
}

std::optional<StateChange> CircuitBreaker::reset(Nanos now) {
  const SpinGuard guard(mutex_);
  const StateChange change = enter(BreakerState::kClosed, now);
  clear_windows();
  return change.from == BreakerState::kClosed ? std::nullopt : std::optional(change);
}

std::optional<StateChange> CircuitBreaker::force_open(Nanos ttl, Nanos now) {
  const SpinGuard guard(mutex_);
  opened_until_.store(ttl == kForever ? kForever : saturating_add(now, ttl), std::memory_order_relaxed);
  if (state_of(word_.load(std::memory_order_relaxed)) == BreakerState::kForcedOpen) {
    return std::nullopt;
  }
  return enter(BreakerState::kForcedOpen, now);
}

std::optional<StateChange> CircuitBreaker::disable(Nanos now) {
  const SpinGuard guard(mutex_);
  if (state_of(word_.load(std::memory_order_relaxed)) == BreakerState::kDisabled) {
    return std::nullopt;
  }
  return enter(BreakerState::kDisabled, now);
}

std::optional<StateChange> CircuitBreaker::metrics_only(Nanos now) {
  const SpinGuard guard(mutex_);
  if (state_of(word_.load(std::memory_order_relaxed)) == BreakerState::kMetricsOnly) {
    return std::nullopt;
  }
  return enter(BreakerState::kMetricsOnly, now);
}

std::optional<StateChange> CircuitBreaker::trip(Nanos duration, Nanos now) {
  if (duration <= 0) {
    return std::nullopt;
  }
  const SpinGuard guard(mutex_);
  const Nanos until = saturating_add(now, std::min(duration, config().max_recovery_timeout));
  switch (state_of(word_.load(std::memory_order_relaxed))) {
    case BreakerState::kOpen:
      opened_until_.store(std::max(until, opened_until_.load(std::memory_order_relaxed)),
                          std::memory_order_release);
      return std::nullopt;
    case BreakerState::kClosed:
    case BreakerState::kHalfOpen:
      opened_until_.store(until, std::memory_order_relaxed);
      return enter(BreakerState::kOpen, now);
    case BreakerState::kForcedOpen:
    case BreakerState::kDisabled:
    case BreakerState::kMetricsOnly:
      break;
  }
  return std::nullopt;
}

std::optional<StateChange> CircuitBreaker::health_succeeded(Nanos now) {
  const SpinGuard guard(mutex_);
  if (state_of(word_.load(std::memory_order_relaxed)) != BreakerState::kOpen || periods().held) {
    return std::nullopt;
  }
  const StateChange change = enter(BreakerState::kClosed, now);
  clear_windows();
  return change;
}

void CircuitBreaker::hold_open() {
  const SpinGuard guard(mutex_);
  periods().held = state_of(word_.load(std::memory_order_relaxed)) == BreakerState::kOpen;
}

void CircuitBreaker::reconfigure(std::shared_ptr<const CircuitBreakerConfig> config) {
  const SpinGuard guard(mutex_);
  const CircuitBreakerConfig& old = *owned_config_;
  const bool new_window =
      old.window_calls != config->window_calls || old.monitor_window != config->monitor_window;
  const CircuitBreakerConfig& settings = *config;
  config_.store(config.get(), std::memory_order_release);
  periods().retired.push_back(std::exchange(owned_config_, std::move(config)));
  if (new_window) {
    visit_stripes(
        [&settings](Stripe& stripe) { stripe.rewindow(settings.monitor_window, settings.window_calls); });
  }
}

// ---- reading

BreakerState CircuitBreaker::state(Nanos now) const {
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  const BreakerState state = state_of(word);
  const bool ran_out =
      state == BreakerState::kForcedOpen && now >= opened_until_.load(std::memory_order_acquire);
  return ran_out ? BreakerState::kClosed : state;
}

Nanos CircuitBreaker::opened_until() const {
  const BreakerState state = state_of(word_.load(std::memory_order_acquire));
  const bool open = state == BreakerState::kOpen || state == BreakerState::kForcedOpen;
  return open ? opened_until_.load(std::memory_order_acquire) : -1;
}

WindowCounts CircuitBreaker::window(Nanos now) const {
  WindowCounts counts;
  visit_stripes([&counts, now](const Stripe& stripe) { counts += stripe.counts(now); });
  return counts;
}

BreakerSnapshot CircuitBreaker::snapshot(Nanos now) const {
  BreakerSnapshot result;
  const SpinGuard guard(mutex_);
  result.state = state(now);
  visit_stripes([&result, now](const Stripe& stripe) {
    result.window += stripe.counts(now);
    result.totals += stripe.totals;
    result.latency.merge(stripe.latency);
  });
  result.totals.rejected = rejected_.load(std::memory_order_relaxed);
  result.consecutive_failures = consecutive_failures_.load(std::memory_order_relaxed);
  const Nanos until = opened_until();
  result.retry_after = until < 0 || until == kForever ? -1 : std::max<Nanos>(until - now, 0);
  if (periods_) {
    result.time_in_state = periods_->time_in_state;
    result.entered = periods_->entered;
  }
  const auto present = static_cast<std::size_t>(state_of(word_.load(std::memory_order_relaxed)));
  result.time_in_state[present] += std::max<Nanos>(now - state_since_, 0);
  return result;
}

std::size_t CircuitBreaker::bytes() const {
  std::size_t total = sizeof(*this) - sizeof(base_);
  visit_stripes([&total](const Stripe& stripe) { total += stripe.bytes(); });
  const SpinGuard guard(mutex_);
  return total + (periods_ ? sizeof(Periods) : 0);
}

}  // namespace resilience
