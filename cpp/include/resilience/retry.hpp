// Whether a failed attempt is made again, and when.
//
// RetryBudget bounds the extra load that retries may put on an upstream that is already failing: each call
// pays in a fraction of a retry, each second a few, each retry takes one out. With no floor, upstream sees
// at most (1 + ratio) times the calls, however many of them fail. After Finagle's RetryBudget; the balance
// is bounded too, so that a quiet hour can't pay for a storm.
//
// Retry holds the rules; RetryState is what one call has used up. The driver asks after_failure(), waits,
// and makes the next attempt.
//
// Thread-safety: none; callers serialise. Complexity: O(1).
#pragma once

#include <algorithm>
#include <cstdint>

#include "resilience/backoff.hpp"
#include "resilience/clock.hpp"
#include "resilience/error.hpp"

namespace resilience {

struct RetryBudgetConfig {
  double ratio = 0.2;            // retries earned by each call
  double min_per_second = 10.0;  // retries earned by each second
  double max_balance = 1'000.0;  // retries that can be saved up

  [[nodiscard]] InvalidArgument validate() const;
};

class RetryBudget {
 public:
  // REQUIRES: config.validate().ok(). Starts with what one second earns.
  RetryBudget(const RetryBudgetConfig& config, Nanos now) noexcept;

  // Each call, once, when it starts.
  void on_call() noexcept { balance_ = std::min(balance_ + per_call_, max_); }
  // Takes one retry out. False: the budget is spent and nothing was taken.
  [[nodiscard]] bool try_take(Nanos now) noexcept;
  // Retries that could be made at `now`.
  [[nodiscard]] double balance(Nanos now) noexcept;

 private:
  void accrue(Nanos now) noexcept;

  // Billionths of a retry: sums of 0.1 stay exact, and a second's worth of nanoseconds counts directly.
  std::int64_t balance_ = 0;
  std::int64_t per_call_;
  std::int64_t max_;
  double per_nano_;
  Nanos accrued_;
};

struct RetryConfig {
  std::int64_t attempts = 3;  // in all, the first one included
  BackoffConfig backoff{};

  [[nodiscard]] InvalidArgument validate() const;
};

enum class RetryVerdict : std::uint8_t { kRetry, kAttemptsSpent, kBudgetSpent, kPastDeadline };

struct RetryDecision {
  RetryVerdict verdict;
  Nanos wait;  // before the next attempt, when the verdict is kRetry
};

struct RetryState {
  std::int64_t attempt = 1;  // the number of the attempt under way
  Nanos waited = 0;          // the wait before it
};

class Retry {
 public:
  // The longest Retry-After that is waited for when no deadline says less; a longer one ends the call.
  static constexpr Nanos kMaxRetryAfter = 120 * kNanosPerSecond;

  // REQUIRES: config.validate().ok().
  Retry(const RetryConfig& config, std::uint64_t seed) noexcept
      : attempts_(config.attempts), backoff_(config.backoff, seed) {}

  // `state.attempt` failed with an error that may be retried. `retry_after`: what upstream asked for, 0
  // when it didn't. `deadline`: when the caller will have gone. `budget`: null when there is none. Advances
  // `state` when the verdict is kRetry; takes nothing from the budget otherwise.
  [[nodiscard]] RetryDecision after_failure(RetryState& state, Nanos now, Nanos retry_after, Nanos deadline,
                                            RetryBudget* budget) noexcept;

  [[nodiscard]] std::int64_t attempts() const noexcept { return attempts_; }

 private:
  std::int64_t attempts_;
  Backoff backoff_;
};

}  // namespace resilience
