#include "resilience/circuit_breaker.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "circuit_breaker_parts.hpp"

namespace resilience {

namespace {

constexpr std::size_t kMostStripes = 32;

std::size_t stripe_count() noexcept {
  static const std::size_t count = std::clamp(std::bit_ceil(std::size_t{std::thread::hardware_concurrency()}),
                                              std::size_t{4}, kMostStripes);
  return count;
}

std::size_t thread_slot() noexcept {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t slot = next.fetch_add(1, std::memory_order_relaxed);
  return slot;
}

// An ignored call says nothing, neither about success nor about speed.
bool is_slow(const CircuitBreakerConfig& settings, Outcome outcome, Nanos duration) noexcept {
  return settings.slow_call_duration && duration >= *settings.slow_call_duration &&
         outcome != Outcome::kIgnored;
}

}  // namespace

CircuitBreaker::CircuitBreaker(std::shared_ptr<const CircuitBreakerConfig> config, Nanos now)
    : config_(config.get()),
      state_since_(now),
      owned_config_(std::move(config)),
      base_(this->config().monitor_window, this->config().window_calls) {}

CircuitBreaker::~CircuitBreaker() { delete extra_.load(std::memory_order_acquire); }

// The stripe that this thread counts in. Windows of calls can't be split, so there the first stays the only
// one.
CircuitBreaker::Stripe& CircuitBreaker::own_stripe() const noexcept {
  const Stripes* extra = extra_.load(std::memory_order_acquire);
  if (extra == nullptr || config().window_calls != 0) [[likely]] {
    return base_;
  }
  return extra->all[thread_slot() & (stripe_count() - 1)]->stripe;
}

// Locks this thread's stripe. A collision in the first one is what makes more of them; from then on the first
// rests, so that nothing is written beside the fields that every call reads.
CircuitBreaker::Stripe& CircuitBreaker::lock_stripe() noexcept {
  Stripe& present = own_stripe();
  if (present.lock.try_lock()) {
    return present;
  }
  const CircuitBreakerConfig& settings = config();
  if (settings.window_calls == 0 && extra_.load(std::memory_order_relaxed) == nullptr) {
    auto grown = std::make_unique<Stripes>();
    for (std::size_t i = 0; i < stripe_count(); ++i) {
      grown->all.push_back(std::make_unique<Stripes::Padded>(settings));
    }
    Stripes* none = nullptr;
    if (extra_.compare_exchange_strong(none, grown.get(), std::memory_order_acq_rel)) {
      (void)grown.release();
    }
  }
  Stripe& stripe = own_stripe();
  stripe.lock.lock();
  return stripe;
}

void CircuitBreaker::clear_windows() {
  visit_stripes([](Stripe& stripe) { stripe.clear(); });
  consecutive_failures_.store(0, std::memory_order_relaxed);
  window_troubled_.store(false, std::memory_order_relaxed);
}

// Counts one outcome in a locked stripe.
CircuitBreaker::Counted CircuitBreaker::count(Stripe& stripe, Outcome outcome, bool slow, Nanos duration,
                                              Nanos now) {
  stripe.totals.slow += slow ? 1 : 0;
  switch (outcome) {
    case Outcome::kSuccess:
      ++stripe.totals.successes;
      if (consecutive_failures_.load(std::memory_order_relaxed) != 0) {
        consecutive_failures_.store(0, std::memory_order_relaxed);
      }
      break;
    case Outcome::kFailure:
      ++stripe.totals.failures;
      consecutive_failures_.fetch_add(1, std::memory_order_relaxed);
      break;
    case Outcome::kIgnored:
      ++stripe.totals.ignored;
      return Counted::kNowhere;
    case Outcome::kCancelled:
      ++stripe.totals.cancelled;
      if (!slow) {
        return Counted::kNowhere;
      }
      break;
  }
  const bool failure = outcome == Outcome::kFailure;
  if ((failure || slow) && !window_troubled_.load(std::memory_order_relaxed)) {
    window_troubled_.store(true, std::memory_order_relaxed);
  }
  const bool first = stripe.add(failure, slow, now, outcome == Outcome::kCancelled);
  if (outcome != Outcome::kCancelled) {
    stripe.latency.record(duration);
  }
  return first ? Counted::kInNewBucket : Counted::kInWindow;
}

bool CircuitBreaker::rates_exceeded(const WindowCounts& counts, const CircuitBreakerConfig& config) noexcept {
  if (counts.calls < config.minimum_calls) {
    return false;
  }
  // A rate of exactly the threshold counts, whatever the last bit of the product says.
  const auto reached = [calls = counts.calls](std::uint32_t part, const std::optional<double>& threshold) {
    return threshold && static_cast<double>(part) >= *threshold * static_cast<double>(calls) * (1.0 - 1e-12);
  };
  return reached(counts.failures, config.failure_rate_threshold) ||
         reached(counts.slow, config.slow_call_rate_threshold);
}

bool CircuitBreaker::record_quiet_success(BreakerPermit permit, Nanos duration, Nanos now) noexcept {
  const CircuitBreakerConfig& settings = config();
  Stripe& stripe = own_stripe();
  if (permit.lease != 0 || window_troubled_.load(std::memory_order_relaxed) ||
      (settings.slow_call_duration && duration >= *settings.slow_call_duration) || !stripe.lock.try_lock()) {
    return false;
  }
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  const bool current = generation_of(word) == permit.generation && state_of(word) == BreakerState::kClosed;
  if (current) {
    ++stripe.totals.successes;
    stripe.add(false, false, now);
    stripe.latency.record(duration);
  }
  stripe.lock.unlock();
  return current;
}

Recorded CircuitBreaker::record(BreakerPermit permit, Outcome outcome, Nanos duration, Nanos now) {
  if (permit.lease != 0) {
    return record_probe(permit, outcome, duration, now);
  }
  const CircuitBreakerConfig& settings = config();
  Recorded result;
  WindowCounts counts;
  bool sum_up = false;
  {
    Stripe& stripe = lock_stripe();
    const SpinGuard guard(stripe.lock, std::adopt_lock);
    const std::uint32_t word = word_.load(std::memory_order_acquire);
    if (generation_of(word) != permit.generation) {
      ++stripe.totals.late;
      result.late = true;
      return result;
    }
    const BreakerState present = state_of(word);
    if (present == BreakerState::kDisabled) {
      result.skipped = true;
      return result;
    }
    result.slow = is_slow(settings, outcome, duration);
    const Counted counted = count(stripe, outcome, result.slow, duration, now);
    if (counted == Counted::kNowhere || present != BreakerState::kClosed ||
        !window_troubled_.load(std::memory_order_relaxed)) {
      return result;
    }
    counts = stripe.expire(now);
    if (extra_.load(std::memory_order_relaxed) != nullptr) {
      // A success can tip a rate only by reaching minimum_calls, or after others have left the window.
      if (outcome == Outcome::kSuccess && !result.slow && counted != Counted::kInNewBucket &&
          counts.calls > settings.minimum_calls) {
        return result;
      }
      sum_up = true;
    }
  }
  if (sum_up) {
    counts = {};
    visit_stripes([&counts, now](Stripe& stripe) { counts += stripe.expire(now); });
  }
  result.change = judge(permit, outcome, counts, now);
  return result;
}

// Opens the breaker when a counted outcome was one too many for it.
std::optional<StateChange> CircuitBreaker::judge(BreakerPermit permit, Outcome outcome,
                                                 const WindowCounts& counts, Nanos now) {
  const CircuitBreakerConfig& settings = config();
  const bool in_a_row = settings.failure_threshold != 0 && outcome == Outcome::kFailure &&
                        consecutive_failures_.load(std::memory_order_relaxed) >= settings.failure_threshold;
  if (in_a_row || rates_exceeded(counts, settings)) {
    const SpinGuard guard(mutex_);
    if (generation_of(word_.load(std::memory_order_relaxed)) == permit.generation) {
      return open_for_recovery(now);
    }
  } else if (counts.failures == 0 && counts.slow == 0 &&
             consecutive_failures_.load(std::memory_order_relaxed) == 0) {
    window_troubled_.store(false, std::memory_order_relaxed);
  }
  return std::nullopt;
}

Recorded CircuitBreaker::record_probe(BreakerPermit permit, Outcome outcome, Nanos duration, Nanos now) {
  const CircuitBreakerConfig& settings = config();
  Recorded result;
  const SpinGuard guard(mutex_);
  const std::uint32_t word = word_.load(std::memory_order_relaxed);
  Stripe& stripe = base_;
  const bool verdict_given = outcome == Outcome::kSuccess || outcome == Outcome::kFailure;
  result.slow = is_slow(settings, outcome, duration);
  // A slow probe says that the callee is not well yet, where slowness is what opens the breaker.
  const bool well = outcome == Outcome::kSuccess && !(result.slow && settings.slow_call_rate_threshold);
  bool live = generation_of(word) == permit.generation && state_of(word) == BreakerState::kHalfOpen;
  if (live) {
    HalfOpenTrial& trial = periods().trial;
    trial.expire(
        now);  // a probe that outlived its lease has no say, whether or not its place was taken since
    live = verdict_given ? trial.settle(permit.lease, well) : trial.release(permit.lease);
  }
  {
    const SpinGuard stripe_guard(stripe.lock);
    if (!live) {
      ++stripe.totals.late;
      result.late = true;
      return result;
    }
    count(stripe, outcome, result.slow, duration, now);
  }
  switch (periods().trial.verdict()) {
    case Verdict::kUndecided:
      break;
    case Verdict::kReopen:
      result.change = open_for_recovery(now);
      break;
    case Verdict::kClose:
      result.change = enter(BreakerState::kClosed, now);
      clear_windows();
      break;
  }
  return result;
}

Recorded CircuitBreaker::record_external(Outcome outcome, Nanos duration, Nanos now) {
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  const BreakerState present = state_of(word);
  if (present == BreakerState::kDisabled) {
    Recorded nothing;
    nothing.skipped = true;
    return nothing;
  }
  const bool counts = present == BreakerState::kClosed || present == BreakerState::kMetricsOnly;
  // An impossible generation makes record() count the outcome as late.
  return record({counts ? generation_of(word) : UINT32_MAX, 0}, outcome, duration, now);
}

}  // namespace resilience
