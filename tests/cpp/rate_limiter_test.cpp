#include "resilience/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace resilience {
namespace {

constexpr Nanos kSecond = kNanosPerSecond;

TEST(RateLimiter, AdmitsABurstAndThenTheRate) {
  const RateLimiter limiter({.rate = 10, .per = 1, .burst = 3});
  RateLimiter::Bucket bucket;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(limiter.try_acquire(bucket, kSecond), 0);
  }
  EXPECT_EQ(limiter.try_acquire(bucket, kSecond), kSecond / 10);
  EXPECT_EQ(limiter.try_acquire(bucket, kSecond + kSecond / 10 - 1), 1) << "a refusal takes nothing";
  EXPECT_EQ(limiter.try_acquire(bucket, kSecond + kSecond / 10), 0);
}

TEST(RateLimiter, AWholePeriodEarnsTheWholeRateBack) {
  for (const double rate : {3.0, 7.0, 11.0, 60.0, 997.0}) {
    const RateLimiter limiter({.rate = rate, .per = 1, .burst = rate});
    RateLimiter::Bucket bucket;
    for (int period = 0; period < 100; ++period) {
      int admitted = 0;
      while (limiter.try_acquire(bucket, period * kSecond) == 0) {
        ++admitted;
      }
      ASSERT_EQ(admitted, static_cast<int>(rate)) << "period " << period;
    }
  }
}

TEST(RateLimiter, NeverAdmitsMoreThanBurstPlusRateOverAnyStretch) {
  const RateLimiter limiter({.rate = 100, .per = 1, .burst = 5});
  RateLimiter::Bucket bucket;
  int admitted = 0;
  for (Nanos now = 0; now <= 10 * kSecond; now += kNanosPerMilli) {
    admitted += limiter.try_acquire(bucket, now) == 0 ? 1 : 0;
  }
  EXPECT_EQ(admitted, 5 + 1'000);
}

TEST(RateLimiter, QueuesOnlyWhoCanBeServedInTime) {
  const RateLimiter limiter({.rate = 1, .per = 1, .burst = 1});
  RateLimiter::Bucket bucket;
  ASSERT_EQ(limiter.try_acquire(bucket, 0), 0);
  EXPECT_TRUE(limiter.enqueue(bucket, 0, 2 * kSecond, 0).has_value());
  EXPECT_TRUE(limiter.enqueue(bucket, 0, 2 * kSecond, 0).has_value());
  EXPECT_FALSE(limiter.enqueue(bucket, 0, 2 * kSecond, 0).has_value());
  EXPECT_EQ(limiter.wait(bucket, 0), 3 * kSecond);
}

TEST(RateLimiter, WaitersTakeTheirTurnInOrderAndOneThatLeavesMovesTheOthersForward) {
  const RateLimiter limiter({.rate = 1, .per = 1, .burst = 1});
  RateLimiter::Bucket bucket;
  ASSERT_EQ(limiter.try_acquire(bucket, 0), 0);
  const auto first = *limiter.enqueue(bucket, 0, kForever, 0);
  const auto second = *limiter.enqueue(bucket, 0, kForever, 0);
  EXPECT_EQ(limiter.poll(bucket, second, 0), -1);
  EXPECT_EQ(limiter.poll(bucket, first, kSecond / 2), kSecond / 2);
  EXPECT_TRUE(bucket.queue.leave(first));
  EXPECT_EQ(limiter.poll(bucket, second, kSecond), 0);
  EXPECT_TRUE(bucket.queue.empty());
  EXPECT_EQ(limiter.try_acquire(bucket, kSecond), kSecond);
}

TEST(RateLimiter, ANewcomerNeverOvertakesTheQueue) {
  const RateLimiter limiter({.rate = 1, .per = 1, .burst = 1});
  RateLimiter::Bucket bucket;
  ASSERT_EQ(limiter.try_acquire(bucket, 0), 0);
  const auto waiter = *limiter.enqueue(bucket, 0, kForever, 0);
  EXPECT_GT(limiter.try_acquire(bucket, kSecond), 0);
  EXPECT_EQ(limiter.poll(bucket, waiter, kSecond), 0);
}

TEST(KeyedBuckets, KeepsKeysApartAndTheirNumberBounded) {
  const RateLimiter limiter({.rate = 1, .per = 1, .burst = 1});
  KeyedBuckets buckets(100);
  EXPECT_EQ(limiter.try_acquire(buckets.bucket("a", 0), 0), 0);
  EXPECT_GT(limiter.try_acquire(buckets.bucket("a", 0), 0), 0);
  EXPECT_EQ(limiter.try_acquire(buckets.bucket("b", 0), 0), 0);
  for (int i = 0; i < 100'000; ++i) {
    EXPECT_EQ(limiter.try_acquire(buckets.bucket(std::to_string(i), i), i), 0);
  }
  EXPECT_EQ(buckets.size(), 100U);
}

TEST(KeyedBuckets, MakesRoomWithAnIdleKeyBeforeOneInDebt) {
  const RateLimiter limiter({.rate = 1, .per = 1, .burst = 1});
  KeyedBuckets buckets(2);
  ASSERT_EQ(limiter.try_acquire(buckets.bucket("idle", 0), 0), 0);
  ASSERT_EQ(limiter.try_acquire(buckets.bucket("busy", kSecond), kSecond), 0);
  EXPECT_TRUE(buckets.bucket("idle", kSecond).queue.empty());  // used last, but owes nothing
  EXPECT_EQ(limiter.try_acquire(buckets.bucket("new", kSecond), kSecond), 0);
  EXPECT_GT(limiter.try_acquire(buckets.bucket("busy", kSecond), kSecond), 0);
}

TEST(KeyedBuckets, NeverForgetsAKeyThatHasWaiters) {
  const RateLimiter limiter({.rate = 1, .per = 1, .burst = 1});
  KeyedBuckets buckets(2);
  auto& waited = buckets.bucket("waited", 0);
  ASSERT_EQ(limiter.try_acquire(waited, 0), 0);
  const auto ticket = limiter.enqueue(waited, 0, kForever, 0);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(limiter.try_acquire(buckets.bucket(std::to_string(i), 0), 0), 0);
  }
  EXPECT_EQ(&buckets.bucket("waited", 0), &waited);
  EXPECT_EQ(limiter.poll(waited, *ticket, kSecond), 0);
}

TEST(RateLimiterConfig, NamesTheArgumentItRefuses) {
  EXPECT_EQ((RateLimiterConfig{.rate = 0}).validate().argument, "rate");
  EXPECT_EQ((RateLimiterConfig{.rate = std::nan("")}).validate().argument, "rate");
  EXPECT_EQ((RateLimiterConfig{.per = 0}).validate().argument, "per");
  EXPECT_EQ((RateLimiterConfig{.burst = 0.5}).validate().argument, "burst");
  EXPECT_TRUE((RateLimiterConfig{.rate = 5, .per = 60}).validate().ok());
}

}  // namespace
}  // namespace resilience
