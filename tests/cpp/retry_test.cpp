#include "resilience/retry.hpp"

#include <gtest/gtest.h>

#include "resilience/deadline.hpp"

namespace resilience {
namespace {

RetryConfig config(std::int64_t attempts) {
  return {.attempts = attempts, .backoff = {.wait_initial = 0.1, .jitter = Jitter::kNone}};
}

TEST(Retry, RetriesUntilTheAttemptsAreSpent) {
  Retry retry(config(3), 1);
  RetryState state;
  auto decision = retry.after_failure(state, 0, 0, kForever, nullptr);
  EXPECT_EQ(decision.verdict, RetryVerdict::kRetry);
  EXPECT_EQ(decision.wait, 100 * kNanosPerMilli);
  decision = retry.after_failure(state, 0, 0, kForever, nullptr);
  EXPECT_EQ(decision.wait, 200 * kNanosPerMilli);
  EXPECT_EQ(state.attempt, 3);
  EXPECT_EQ(retry.after_failure(state, 0, 0, kForever, nullptr).verdict, RetryVerdict::kAttemptsSpent);
}

TEST(Retry, WaitsAsLongAsUpstreamAsks) {
  Retry retry(config(3), 1);
  RetryState state;
  EXPECT_EQ(retry.after_failure(state, 0, 7 * kNanosPerSecond, kForever, nullptr).wait, 7 * kNanosPerSecond);
}

TEST(Retry, GivesUpWhenUpstreamAsksForMoreThanTheCallerHas) {
  Retry retry(config(3), 1);
  RetryState state;
  const Nanos deadline = 5 * kNanosPerSecond;
  EXPECT_EQ(retry.after_failure(state, 0, 5 * kNanosPerSecond, deadline, nullptr).verdict,
            RetryVerdict::kPastDeadline);
  EXPECT_EQ(retry.after_failure(state, 0, 4 * kNanosPerSecond, deadline, nullptr).verdict,
            RetryVerdict::kRetry);
}

TEST(Retry, WithoutADeadlineAnAbsurdRetryAfterEndsTheCall) {
  Retry retry(config(3), 1);
  RetryState state;
  EXPECT_EQ(retry.after_failure(state, 0, Retry::kMaxRetryAfter + 1, kForever, nullptr).verdict,
            RetryVerdict::kPastDeadline);
}

TEST(Retry, ADecisionNotToRetryTakesNothingFromTheBudget) {
  Retry retry(config(1), 1);
  RetryBudget budget({.ratio = 0, .min_per_second = 1}, 0);
  RetryState state;
  EXPECT_EQ(retry.after_failure(state, 0, 0, kForever, &budget).verdict, RetryVerdict::kAttemptsSpent);
  EXPECT_DOUBLE_EQ(budget.balance(0), 1.0);
}

TEST(RetryBudget, StartsWithOneSecondsFloorAndEarnsByCallAndBySecond) {
  RetryBudget budget({.ratio = 0.1, .min_per_second = 2.0}, 0);
  EXPECT_DOUBLE_EQ(budget.balance(0), 2.0);
  EXPECT_TRUE(budget.try_take(0));
  EXPECT_TRUE(budget.try_take(0));
  EXPECT_FALSE(budget.try_take(0));
  for (int i = 0; i < 10; ++i) {
    budget.on_call();
  }
  EXPECT_TRUE(budget.try_take(0)) << "ten calls of 0.1 are exactly one retry";
  EXPECT_FALSE(budget.try_take(0));
  EXPECT_FALSE(budget.try_take(kNanosPerSecond / 2 - 1));
  EXPECT_TRUE(budget.try_take(kNanosPerSecond / 2));
}

TEST(RetryBudget, TimeThatGoesBackEarnsNothing) {
  RetryBudget budget({.ratio = 0.0, .min_per_second = 1.0}, kNanosPerSecond);
  EXPECT_TRUE(budget.try_take(0));
  EXPECT_FALSE(budget.try_take(0));
  EXPECT_FALSE(budget.try_take(kNanosPerSecond));
}

TEST(RetryBudget, AQuietCenturySavesUpNoStorm) {
  RetryBudget budget({.ratio = 1.0, .min_per_second = 10.0, .max_balance = 100.0}, 0);
  EXPECT_DOUBLE_EQ(budget.balance(kForever), 100.0);
  budget.on_call();
  EXPECT_DOUBLE_EQ(budget.balance(0), 100.0);
}

TEST(RetryBudget, WithEveryCallFailingUpstreamSeesAtMostTheRatioMore) {
  Retry retry(config(5), 1);
  RetryBudget budget({.ratio = 0.2, .min_per_second = 0.0}, 0);
  constexpr int kCalls = 100'000;
  std::int64_t upstream = 0;
  for (int call = 0; call < kCalls; ++call) {
    RetryState state;
    budget.on_call();
    ++upstream;
    while (retry.after_failure(state, 0, 0, kForever, &budget).verdict == RetryVerdict::kRetry) {
      ++upstream;
    }
  }
  EXPECT_EQ(upstream, kCalls + kCalls / 5);
}

TEST(RetryConfig, NamesTheArgumentItRefuses) {
  EXPECT_EQ((RetryConfig{.attempts = 0}).validate().argument, "attempts");
  EXPECT_EQ((RetryBudgetConfig{.ratio = -0.1}).validate().argument, "ratio");
  EXPECT_EQ((RetryBudgetConfig{.min_per_second = -1}).validate().argument, "min_per_second");
  EXPECT_EQ((RetryBudgetConfig{.max_balance = 0}).validate().argument, "max_balance");
}

TEST(Deadline, NothingNestedOutlivesWhatIsAroundIt) {
  EXPECT_EQ(nested_deadline(100, 50, 120), 120);
  EXPECT_EQ(nested_deadline(100, 50, 200), 150);
  EXPECT_EQ(nested_deadline(100, kForever), kForever);
  EXPECT_EQ(remaining(120, 100), 20);
  EXPECT_EQ(remaining(120, 130), 0);
  EXPECT_EQ(remaining(kForever, 130), kForever);
  EXPECT_TRUE(fits(kForever, 100, kForever));
  EXPECT_FALSE(fits(150, 100, 50));
}

}  // namespace
}  // namespace resilience
