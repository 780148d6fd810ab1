#include "resilience/adaptive_limit.hpp"

#include <gtest/gtest.h>

#include <deque>

#include "resilience/random.hpp"

namespace resilience {
namespace {

constexpr Nanos kMilli = kNanosPerMilli;
constexpr LimitAlgorithm kAll[] = {LimitAlgorithm::kGradient2, LimitAlgorithm::kVegas, LimitAlgorithm::kAimd};

AdaptiveLimitConfig config(LimitAlgorithm algorithm, std::int64_t initial = 20) {
  return {.initial = initial, .min = 1, .max = 1'000, .algorithm = algorithm};
}

AdaptiveLimitConfig queueing(std::int64_t max_waiting) {
  return {.initial = 1, .min = 1, .max = 1, .algorithm = LimitAlgorithm::kAimd, .max_waiting = max_waiting};
}

TEST(LimitEstimator, GrowsUnderPressureWithSteadyLatency) {
  for (const auto algorithm : kAll) {
    LimitEstimator estimator(config(algorithm));
    for (int i = 0; i < 50; ++i) {
      estimator.on_success(10 * kMilli, estimator.limit());
    }
    EXPECT_GT(estimator.limit(), 20) << static_cast<int>(algorithm);
  }
}

TEST(LimitEstimator, NeverGrowsWithLessThanHalfTheLimitInFlight) {
  for (const auto algorithm : kAll) {
    LimitEstimator estimator(config(algorithm));
    for (int i = 0; i < 10'000; ++i) {
      estimator.on_success(10 * kMilli, 9);
    }
    EXPECT_EQ(estimator.limit(), 20) << static_cast<int>(algorithm);
  }
}

TEST(LimitEstimator, LatencyEstimatorsShrinkWhenCallsQueueUpstream) {
  for (const auto algorithm : {LimitAlgorithm::kGradient2, LimitAlgorithm::kVegas}) {
    LimitEstimator estimator(config(algorithm, 100));
    for (int i = 0; i < 20; ++i) {
      estimator.on_success(10 * kMilli, 1);
    }
    for (int i = 0; i < 60; ++i) {
      estimator.on_success(100 * kMilli, estimator.limit());
    }
    EXPECT_LT(estimator.limit(), 60) << static_cast<int>(algorithm);
  }
}

TEST(LimitEstimator, StaysWithinItsBounds) {
  for (const auto algorithm : kAll) {
    LimitEstimator up({.initial = 20, .min = 5, .max = 40, .algorithm = algorithm});
    LimitEstimator down({.initial = 20, .min = 5, .max = 40, .algorithm = algorithm});
    for (int i = 0; i < 1'000; ++i) {
      up.on_success(kMilli, up.limit());
      down.on_drop();
    }
    EXPECT_EQ(up.limit(), 40) << static_cast<int>(algorithm);
    EXPECT_EQ(down.limit(), 5) << static_cast<int>(algorithm);
  }
}

TEST(LimitEstimator, SmallLimitsFallTooAndAimdLosesATenth) {
  LimitEstimator small(config(LimitAlgorithm::kAimd, 3));
  small.on_drop();
  EXPECT_EQ(small.limit(), 2);
  LimitEstimator large(config(LimitAlgorithm::kAimd, 20));
  large.on_drop();
  EXPECT_EQ(large.limit(), 18);
}

// A server that serves `capacity` calls in 10 ms each and queues the rest: where does the limit settle?
std::int64_t settled_limit(LimitAlgorithm algorithm, double capacity) {
  LimitEstimator estimator(config(algorithm));
  for (int i = 0; i < 20'000; ++i) {
    const auto in_flight = static_cast<double>(estimator.limit());
    const double latency = 10e6 * std::max(1.0, in_flight / capacity);
    if (algorithm == LimitAlgorithm::kAimd && in_flight > 1.5 * capacity) {
      estimator.on_drop();  // the server times out what waits too long
    } else {
      estimator.on_success(static_cast<Nanos>(latency), estimator.limit());
    }
  }
  return estimator.limit();
}

TEST(LimitEstimator, SettlesNearWhatTheServerCanTake) {
  for (const auto algorithm : {LimitAlgorithm::kVegas, LimitAlgorithm::kAimd}) {
    const auto limit = settled_limit(algorithm, 50.0);
    EXPECT_GE(limit, 40) << static_cast<int>(algorithm);
    EXPECT_LE(limit, 110) << static_cast<int>(algorithm);
  }
}

TEST(AdaptiveLimit, AdmitsUpToTheLimitAndLearnsFromWhatEnds) {
  AdaptiveLimit limit(config(LimitAlgorithm::kAimd, 2));
  AdaptiveLimit::Woken woken;
  ASSERT_TRUE(limit.try_acquire());
  ASSERT_TRUE(limit.try_acquire());
  EXPECT_FALSE(limit.try_acquire());
  limit.release(0, kMilli, LimitOutcome::kSuccess, woken);
  EXPECT_EQ(limit.limit(), 3);
  limit.release(0, kMilli, LimitOutcome::kIgnored, woken);
  EXPECT_EQ(limit.limit(), 3) << "an ignored call shows nothing";
  EXPECT_EQ(limit.in_flight(), 0);
}

TEST(AdaptiveLimit, OneRoundTripOfDropsStepsBackOnce) {
  AdaptiveLimit limit(config(LimitAlgorithm::kAimd, 20));
  AdaptiveLimit::Woken woken;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(limit.try_acquire());
  }
  for (int i = 0; i < 20; ++i) {
    limit.release(0, 10 + i, LimitOutcome::kDropped, woken);
  }
  EXPECT_EQ(limit.limit(), 18);
  ASSERT_TRUE(limit.try_acquire());
  limit.release(50, 60, LimitOutcome::kDropped, woken);
  EXPECT_EQ(limit.limit(), 16);
}

TEST(AdaptiveLimit, AFreedPlaceGoesToTheMostUrgentWaiter) {
  AdaptiveLimit limit(queueing(3));
  AdaptiveLimit::Woken woken;
  std::optional<Ticket> shed;
  ASSERT_TRUE(limit.try_acquire());
  const auto low = limit.enqueue(0, 0, shed);
  const auto high = limit.enqueue(9, 0, shed);
  limit.release(0, kMilli, LimitOutcome::kIgnored, woken);
  ASSERT_EQ(woken.served.size(), 1U);
  EXPECT_EQ(woken.served[0], *high);
  EXPECT_EQ(limit.in_flight(), 1);
  EXPECT_TRUE(limit.leave(*low, kMilli));
  EXPECT_FALSE(limit.leave(*high, kMilli));
}

TEST(AdaptiveLimit, AFullQueueGivesWayToAMoreUrgentCallerOnly) {
  AdaptiveLimit limit(queueing(1));
  std::optional<Ticket> shed;
  ASSERT_TRUE(limit.try_acquire());
  const auto first = limit.enqueue(0, 0, shed);
  EXPECT_FALSE(limit.enqueue(0, 0, shed).has_value());
  EXPECT_FALSE(shed.has_value());
  EXPECT_TRUE(limit.enqueue(1, 0, shed).has_value());
  EXPECT_EQ(shed, first);
  EXPECT_EQ(limit.waiting(), 1);
}

TEST(AdaptiveLimit, AStandingQueueIsShedFromItsFront) {
  AdaptiveLimit limit(queueing(100));
  AdaptiveLimit::Woken woken;
  std::optional<Ticket> shed;
  ASSERT_TRUE(limit.try_acquire());
  const auto stale = limit.enqueue(0, 0, shed);
  const auto older = limit.enqueue(0, 90 * kMilli, shed);
  const auto fresh = limit.enqueue(0, 118 * kMilli, shed);
  limit.release(0, 120 * kMilli, LimitOutcome::kIgnored, woken);  // the queue has stood for 120 > 100 ms
  EXPECT_EQ(woken.shed, (std::vector<Ticket>{*stale, *older}));
  EXPECT_EQ(woken.served, (std::vector<Ticket>{*fresh}));
}

TEST(AdaptiveLimit, AShortQueueIsServedInOrder) {
  AdaptiveLimit limit(queueing(100));
  AdaptiveLimit::Woken woken;
  std::optional<Ticket> shed;
  ASSERT_TRUE(limit.try_acquire());
  const auto first = limit.enqueue(0, 0, shed);
  ASSERT_TRUE(limit.enqueue(0, 40 * kMilli, shed).has_value());
  limit.release(0, 50 * kMilli, LimitOutcome::kIgnored, woken);
  EXPECT_TRUE(woken.shed.empty());
  EXPECT_EQ(woken.served, (std::vector<Ticket>{*first}));
}

TEST(AdaptiveLimit, NewBoundsHoldAtOnceAndServeWaitersThatFitIn) {
  AdaptiveLimit limit(queueing(5));
  std::optional<Ticket> shed;
  ASSERT_TRUE(limit.try_acquire());
  ASSERT_TRUE(limit.enqueue(0, 0, shed));
  ASSERT_TRUE(limit.enqueue(0, 0, shed));
  AdaptiveLimit::Woken woken;
  limit.resize(2, 4, 0, woken);
  EXPECT_EQ(woken.served.size(), 1U);
  EXPECT_EQ(limit.limit(), 2);
  EXPECT_EQ(limit.max(), 4);
  EXPECT_EQ(limit.in_flight(), 2);
  EXPECT_EQ(limit.waiting(), 1);
}

TEST(AdaptiveLimitConfig, NamesTheArgumentItRefuses) {
  EXPECT_EQ((AdaptiveLimitConfig{.min = 0}).validate().argument, "min");
  EXPECT_EQ((AdaptiveLimitConfig{.min = 5, .max = 4}).validate().argument, "max");
  EXPECT_EQ((AdaptiveLimitConfig{.initial = 0}).validate().argument, "initial");
  EXPECT_EQ((AdaptiveLimitConfig{.max_waiting = -1}).validate().argument, "max_waiting");
  EXPECT_EQ((AdaptiveLimitConfig{.target_wait = 0}).validate().argument, "target_wait");
  EXPECT_EQ((AdaptiveLimitConfig{.wait_interval = 0.001}).validate().argument, "wait_interval");
}

}  // namespace
}  // namespace resilience
