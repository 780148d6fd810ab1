#include "resilience/backoff.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace resilience {
namespace {

BackoffConfig config(Jitter jitter) { return {.wait_initial = 0.1, .wait_max = 5.0, .jitter = jitter}; }

TEST(Backoff, WithoutJitterGrowsGeometricallyUpToItsCeiling) {
  Backoff backoff(config(Jitter::kNone), 1);
  EXPECT_EQ(backoff.next(1, 0), 100 * kNanosPerMilli);
  EXPECT_EQ(backoff.next(2, 0), 200 * kNanosPerMilli);
  EXPECT_EQ(backoff.next(3, 0), 400 * kNanosPerMilli);
  EXPECT_EQ(backoff.next(7, 0), 5 * kNanosPerSecond);
}

TEST(Backoff, NothingOverflowsAtAttemptTenThousand) {
  for (const Jitter jitter : {Jitter::kFull, Jitter::kEqual, Jitter::kDecorrelated, Jitter::kNone}) {
    Backoff backoff(config(jitter), 1);
    Nanos previous = 0;
    for (std::int64_t attempt = 1; attempt <= 10'000; ++attempt) {
      previous = backoff.next(attempt, previous);
      ASSERT_GE(previous, 0);
      ASSERT_LE(previous, 5 * kNanosPerSecond);
    }
    EXPECT_LE(backoff.next(INT64_MAX, kForever), 5 * kNanosPerSecond);
  }
}

TEST(Backoff, FullJitterCoversTheWholeRangeAndEqualJitterItsUpperHalf) {
  Backoff full(config(Jitter::kFull), 7);
  Backoff equal(config(Jitter::kEqual), 7);
  double full_sum = 0;
  double equal_sum = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    const double f = seconds_from_nanos(full.next(3, 0));
    const double e = seconds_from_nanos(equal.next(3, 0));
    ASSERT_LE(f, 0.4);
    ASSERT_GE(e, 0.2);
    ASSERT_LE(e, 0.4);
    full_sum += f;
    equal_sum += e;
  }
  EXPECT_NEAR(full_sum / kDraws, 0.2, 0.005);
  EXPECT_NEAR(equal_sum / kDraws, 0.3, 0.005);
}

TEST(Backoff, DecorrelatedJitterStaysBetweenTheFirstWaitAndThreeTimesThePrevious) {
  Backoff backoff(config(Jitter::kDecorrelated), 11);
  Nanos previous = 0;
  for (int attempt = 1; attempt < 1'000; ++attempt) {
    const Nanos wait = backoff.next(attempt, previous);
    ASSERT_GE(wait, 100 * kNanosPerMilli);
    ASSERT_LE(wait, std::max(3 * previous, 100 * kNanosPerMilli));
    previous = wait;
  }
}

TEST(Backoff, EqualSeedsGiveEqualWaits) {
  Backoff first(config(Jitter::kFull), 42);
  Backoff second(config(Jitter::kFull), 42);
  Backoff other(config(Jitter::kFull), 43);
  bool differs = false;
  for (int attempt = 1; attempt < 50; ++attempt) {
    const Nanos wait = first.next(attempt, 0);
    EXPECT_EQ(wait, second.next(attempt, 0));
    differs = differs || wait != other.next(attempt, 0);
  }
  EXPECT_TRUE(differs);
}

TEST(Backoff, AFirstWaitOfZeroStaysZero) {
  Backoff backoff({.wait_initial = 0.0, .jitter = Jitter::kNone}, 1);
  EXPECT_EQ(backoff.next(10'000, 0), 0);
}

TEST(BackoffConfig, RefusesWhatMakesNoSenseAndNamesIt) {
  EXPECT_EQ((BackoffConfig{.wait_initial = -1}).validate().argument, "wait_initial");
  EXPECT_EQ((BackoffConfig{.wait_max = std::nan("")}).validate().argument, "wait_max");
  EXPECT_EQ((BackoffConfig{.wait_exp_base = 0.5}).validate().argument, "wait_exp_base");
  EXPECT_TRUE(BackoffConfig{}.validate().ok());
}

}  // namespace
}  // namespace resilience
