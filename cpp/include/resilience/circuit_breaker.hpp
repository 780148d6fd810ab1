// The circuit breaker: a state machine that decides which calls may run, from the outcomes of those that ran.
//
// closed ──(failures in a row, failure rate or slow rate)──▶ open ──(recovery time over, next call)──▶
// half-open half-open ──(enough probes succeed)──▶ closed, ──(too many fail)──▶ open. Forced-open, disabled
// and metrics-only are entered and left by hand. The count- and time-window rules follow resilience4j;
// generations, probe leases and the early verdict are this library's.
//
// Every admission carries the generation of the state that made it. An outcome of an older generation is
// counted as late and changes neither state nor window.
//
// Thread-safety: everything may be called from any thread; no lock outlives a call. Outcomes go to a stripe
// chosen by thread once threads have been seen to collide, so that they don't queue up behind each other; one
// thread at a time never pays for stripes. With several of them, rates are judged at each failure and slow
// call, while calls are few and once a bucket of the window, not at each success. Transitions are rare and
// take a lock of their own. Complexity: O(1) a call. Memory: under 1 KiB until stripes are needed. Events are
// returned, never delivered: the caller tells listeners after every lock is free.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/half_open.hpp"
#include "resilience/histogram.hpp"
#include "resilience/outcome_stripe.hpp"
#include "resilience/spin_lock.hpp"

namespace resilience {

enum class BreakerState : std::uint8_t { kClosed, kOpen, kHalfOpen, kForcedOpen, kDisabled, kMetricsOnly };
inline constexpr std::size_t kBreakerStates = 6;

struct CircuitBreakerConfig {
  std::uint32_t failure_threshold = 3;             // consecutive failures that open it; 0 = off
  std::optional<double> failure_rate_threshold;    // (0, 1], over the window, at >=
  std::optional<Nanos> slow_call_duration;         // a call at or above it is slow
  std::optional<double> slow_call_rate_threshold;  // (0, 1], over the window, at >=
  std::uint32_t minimum_calls = 10;                // in the window before a rate counts
  Nanos monitor_window = 60 * kNanosPerSecond;
  std::uint32_t window_calls = 0;  // > 0: the last n calls instead of monitor_window
  Nanos recovery_timeout = 30 * kNanosPerSecond;
  double recovery_jitter = 0.1;   // [0, 1): open for recovery_timeout · U(1 − jitter, 1)
  double recovery_backoff = 1.0;  // >= 1: factor for each reopening without a close in between
  Nanos max_recovery_timeout = 300 * kNanosPerSecond;
  std::uint32_t success_threshold = 2;
  std::uint32_t half_open_requests = 2;
  std::uint32_t half_open_concurrency = 1;
  Nanos probe_timeout = 30 * kNanosPerSecond;

  [[nodiscard]] InvalidArgument validate() const;
  bool operator==(const CircuitBreakerConfig&) const = default;
};

enum class Outcome : std::uint8_t { kSuccess, kFailure, kIgnored, kCancelled };

struct BreakerPermit {
  std::uint32_t generation = 0;
  std::uint32_t lease = 0;  // a probe's, else 0
};

struct StateChange {
  BreakerState from;
  BreakerState to;
};

struct Admission {
  bool admitted = false;
  BreakerPermit permit;
  Nanos retry_after = -1;             // of a rejection; negative when unknown
  std::optional<StateChange> change;  // open → half-open, or a forced state that ran out
};

struct Recorded {
  bool late = false;     // counted for nothing but the number of late results
  bool skipped = false;  // the breaker is disabled: nothing was recorded
  bool slow = false;
  std::optional<StateChange> change;
};

struct BreakerSnapshot {
  BreakerState state = BreakerState::kClosed;
  WindowCounts window;
  BreakerTotals totals;
  CompactHistogram latency;
  std::uint32_t consecutive_failures = 0;
  Nanos retry_after = -1;
  std::array<Nanos, kBreakerStates> time_in_state{};
  std::array<std::uint64_t, kBreakerStates> entered{};
};

class CircuitBreaker {
 public:
  // REQUIRES: config->validate().ok(). Breakers of one kind share one config.
  CircuitBreaker(std::shared_ptr<const CircuitBreakerConfig> config, Nanos now);
  ~CircuitBreaker();
  CircuitBreaker(const CircuitBreaker&) = delete;
  CircuitBreaker& operator=(const CircuitBreaker&) = delete;

  // Asks for one call to be let through. An admitted permit goes to record() exactly once.
  [[nodiscard]] Admission acquire(Nanos now);
  // The first look of a hot path: true when the call may run under `permit` without asking further.
  [[nodiscard]] bool try_acquire_closed(BreakerPermit& permit) const noexcept {
    const std::uint32_t word = word_.load(std::memory_order_acquire);
    permit = {generation_of(word), 0};
    return state_of(word) == BreakerState::kClosed;
  }
  Recorded record(BreakerPermit permit, Outcome outcome, Nanos duration, Nanos now);
  // record() of a success when nothing can follow from it: no failure or slow call is in the window and no
  // other thread is counting. False when nothing was done and record() must be called.
  [[nodiscard]] bool record_quiet_success(BreakerPermit permit, Nanos duration, Nanos now) noexcept;
  // An outcome that was observed elsewhere. Counts while closed or metrics-only; late else, but for a
  // disabled breaker, which records nothing.
  Recorded record_external(Outcome outcome, Nanos duration, Nanos now);

  std::optional<StateChange> reset(Nanos now);
  std::optional<StateChange> force_open(Nanos ttl, Nanos now);  // kForever: until told otherwise
  std::optional<StateChange> disable(Nanos now);
  std::optional<StateChange> metrics_only(Nanos now);
  // Opens for `duration`, at most max_recovery_timeout; extends an open one. Nothing for a duration <= 0.
  std::optional<StateChange> trip(Nanos duration, Nanos now);
  // A health check says that the callee is back: closes an open breaker unless hold_open() holds it.
  std::optional<StateChange> health_succeeded(Nanos now);
  // Keeps health checks from closing the present open period early.
  void hold_open();
  // Takes new settings; state, generation and totals stay. The window starts empty when its kind or length
  // changed. REQUIRES: config->validate().ok()
  void reconfigure(std::shared_ptr<const CircuitBreakerConfig> config);

  [[nodiscard]] BreakerState state(Nanos now) const;
  [[nodiscard]] WindowCounts window(Nanos now) const;
  [[nodiscard]] Nanos opened_until() const;  // negative when not open, kForever when without an end
  [[nodiscard]] BreakerSnapshot snapshot(Nanos now) const;
  [[nodiscard]] const CircuitBreakerConfig& config() const noexcept {
    return *config_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::size_t bytes() const;

 private:
  using Stripe = OutcomeStripe;
  enum class Counted : std::uint8_t { kNowhere, kInWindow, kInNewBucket };
  struct Stripes;  // more of them, once threads collide
  struct Periods;  // what only a breaker that has left `closed` needs

  static constexpr unsigned kStateBits = 3;
  static BreakerState state_of(std::uint32_t word) noexcept {
    return static_cast<BreakerState>(word & ((1U << kStateBits) - 1));
  }
  static std::uint32_t generation_of(std::uint32_t word) noexcept { return word >> kStateBits; }

  [[nodiscard]] Stripe& own_stripe() const noexcept;
  Stripe& lock_stripe() noexcept RESILIENCE_UNCHECKED;  // which lock it holds depends on the thread
  template <typename Visit>
  void visit_stripes(Visit visit) const;
  void clear_windows();
  Counted count(Stripe& stripe, Outcome outcome, bool slow, Nanos duration, Nanos now);
  std::optional<StateChange> judge(BreakerPermit permit, Outcome outcome, const WindowCounts& counts,
                                   Nanos now);
  [[nodiscard]] static bool rates_exceeded(const WindowCounts& counts,
                                           const CircuitBreakerConfig& config) noexcept;
  [[nodiscard]] Admission acquire_guarded(Nanos now);
  Recorded record_probe(BreakerPermit permit, Outcome outcome, Nanos duration, Nanos now);

  Periods& periods() RESILIENCE_REQUIRES(mutex_);
  StateChange enter(BreakerState to, Nanos now) RESILIENCE_REQUIRES(mutex_);
  StateChange open_for_recovery(Nanos now) RESILIENCE_REQUIRES(mutex_);
  [[nodiscard]] Admission reject(Nanos retry_after) noexcept;
  [[nodiscard]] Admission admit_probe(Nanos now, std::optional<StateChange> change)
      RESILIENCE_REQUIRES(mutex_);

  std::atomic<std::uint32_t> word_{0};  // generation and state
  std::atomic<std::uint32_t> consecutive_failures_{0};
  std::atomic<bool> window_troubled_{false};  // a failure or slow call may be in the window
  mutable SpinLock mutex_;                    // transitions; taken before any stripe's lock
  std::atomic<const CircuitBreakerConfig*> config_;
  std::atomic<Nanos> opened_until_{-1};
  std::atomic<std::uint64_t> rejected_{0};
  Nanos state_since_ RESILIENCE_GUARDED_BY(mutex_);
  std::shared_ptr<const CircuitBreakerConfig> owned_config_ RESILIENCE_GUARDED_BY(mutex_);
  std::unique_ptr<Periods> periods_ RESILIENCE_GUARDED_BY(mutex_);
  std::atomic<Stripes*> extra_{nullptr};
  mutable Stripe base_;
};

}  // namespace resilience
