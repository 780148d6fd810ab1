#include "resilience/retry.hpp"

#include <cmath>

#include "resilience/deadline.hpp"

namespace resilience {

namespace {

constexpr std::int64_t kOneRetry = 1'000'000'000;  // in billionths

std::int64_t billionths(double retries) noexcept {
  return static_cast<std::int64_t>(std::llround(retries * static_cast<double>(kOneRetry)));
}

}  // namespace

InvalidArgument RetryBudgetConfig::validate() const {
  if (auto bad = require(ratio >= 0.0 && ratio <= 1'000.0, "ratio", "a number in [0, 1000]", ratio)) {
    return bad;
  }
  if (auto bad = require(min_per_second >= 0.0 && min_per_second <= 1e6, "min_per_second",
                         "a number in [0, 1000000]", min_per_second)) {
    return bad;
  }
  return require(max_balance >= 1.0 && max_balance <= 1e9, "max_balance", "a number in [1, 1e9]",
                 max_balance);
}

RetryBudget::RetryBudget(const RetryBudgetConfig& config, Nanos now) noexcept
    : per_call_(billionths(config.ratio)),
      max_(std::max(billionths(config.max_balance), billionths(config.min_per_second))),
      per_nano_(config.min_per_second),
      accrued_(now) {
  balance_ = billionths(config.min_per_second);
}

void RetryBudget::accrue(Nanos now) noexcept {
  if (now <= accrued_) {
    return;
  }
  const double earned = static_cast<double>(now - accrued_) * per_nano_;
  accrued_ = now;
  const auto room = static_cast<double>(max_ - balance_);
  balance_ += static_cast<std::int64_t>(std::min(earned, room));  // compared as doubles: can't overflow
}

bool RetryBudget::try_take(Nanos now) noexcept {
  accrue(now);
  if (balance_ < kOneRetry) {
    return false;
  }
  balance_ -= kOneRetry;
  return true;
}

double RetryBudget::balance(Nanos now) noexcept {
  accrue(now);
  return static_cast<double>(balance_) / static_cast<double>(kOneRetry);
}

InvalidArgument RetryConfig::validate() const {
  if (auto bad = require(attempts >= 1, "attempts", "an integer >= 1", static_cast<double>(attempts))) {
    return bad;
  }
  return backoff.validate();
}

RetryDecision Retry::after_failure(RetryState& state, Nanos now, Nanos retry_after, Nanos deadline,
                                   RetryBudget* budget) noexcept {
  if (state.attempt >= attempts_) {
    return {RetryVerdict::kAttemptsSpent, 0};
  }
  // Coming back sooner than upstream asked is a wasted attempt, coming back later is not.
  const Nanos wait = std::max(backoff_.next(state.attempt, state.waited), retry_after);
  if (!fits(deadline, now, wait) || (deadline == kForever && retry_after > kMaxRetryAfter)) {
    return {RetryVerdict::kPastDeadline, 0};
  }
  if (budget != nullptr && !budget->try_take(now)) {
    return {RetryVerdict::kBudgetSpent, 0};
  }
  ++state.attempt;
  state.waited = wait;
  return {RetryVerdict::kRetry, wait};
}

}  // namespace resilience
