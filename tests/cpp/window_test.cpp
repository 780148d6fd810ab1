#include "resilience/window.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

namespace resilience {
namespace {

constexpr Nanos kLength = 60 * kNanosPerSecond;
constexpr Nanos kBucket = kLength / static_cast<Nanos>(TimeWindow::kBuckets);

TEST(TimeWindow, KeepsABurstForExactlyItsLength) {
  TimeWindow window(kLength);
  window.add(1000, true, false);
  EXPECT_EQ(window.counts(1000 + kLength - 1).failures, 1U);
  EXPECT_EQ(window.counts(1000 + kLength).failures, 0U);
}

TEST(TimeWindow, ReadingChangesNothing) {
  TimeWindow window(kLength);
  window.add(0, true, true);
  EXPECT_EQ(window.counts(10 * kLength).calls, 0U);
  EXPECT_EQ(window.counts(1).calls, 1U);
}

TEST(TimeWindow, ForgetsEverythingAfterALongSilence) {
  TimeWindow window(kLength);
  for (Nanos t = 0; t < kLength; t += kBucket) {
    window.add(t, false, true);
  }
  EXPECT_EQ(window.expire(100 * kLength).calls, 0U);
  window.add(100 * kLength, false, false);
  EXPECT_EQ(window.expire(100 * kLength).calls, 1U);
}

TEST(TimeWindow, TakesATimeThatGoesBackIntoThePresentBucket) {
  TimeWindow window(kLength);
  window.add(kLength, false, false);
  window.add(kLength - kBucket, true, false);
  EXPECT_EQ(window.counts(kLength).failures, 1U);
}

// An outcome counts up to an age of length · (1 − 1/kBuckets) for certain and from `length` on no longer.
TEST(TimeWindow, StaysWithinItsPromiseOnRandomSchedules) {
  std::mt19937_64 random(7);
  TimeWindow window(kLength);
  std::deque<Nanos> calls;
  Nanos now = 0;
  for (int i = 0; i < 20'000; ++i) {
    now += static_cast<Nanos>(random() % static_cast<std::uint64_t>(2 * kNanosPerSecond));
    if (random() % 100 == 0) {
      now += kLength / 2;
    }
    window.add(now, false, false);
    calls.push_back(now);
    const auto younger_than = [&calls, now](Nanos age) {
      return static_cast<std::uint32_t>(
          std::count_if(calls.begin(), calls.end(), [=](Nanos at) { return now - at < age; }));
    };
    const std::uint32_t counted = window.counts(now).calls;
    ASSERT_GE(counted, younger_than(kLength - kBucket));
    ASSERT_LE(counted, younger_than(kLength));
    ASSERT_EQ(window.expire(now).calls, counted);
    while (now - calls.front() > 2 * kLength) {
      calls.pop_front();
    }
  }
}

TEST(CountWindow, HoldsTheLastCallsAndNoMore) {
  CountWindow window(3);
  for (const bool failure : {true, true, false, false}) {
    window.add(failure, !failure);
  }
  EXPECT_EQ(window.counts().calls, 3U);
  EXPECT_EQ(window.counts().failures, 1U);
  EXPECT_EQ(window.counts().slow, 2U);
  window.clear();
  EXPECT_EQ(window.counts().calls, 0U);
}

}  // namespace
}  // namespace resilience
