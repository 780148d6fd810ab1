#include "resilience/loop_lag.hpp"

#include <gtest/gtest.h>

namespace resilience {
namespace {

constexpr Nanos kMilli = kNanosPerMilli;

TEST(LoopLag, MeasuresFromPingToPong) {
  LoopLag lag;
  EXPECT_TRUE(lag.ping(100 * kMilli));
  lag.pong(105 * kMilli);
  const auto seen = lag.snapshot(110 * kMilli);
  EXPECT_EQ(seen.current, 5 * kMilli);
  EXPECT_EQ(lag.current(110 * kMilli), 5 * kMilli);
  EXPECT_EQ(seen.max, 5 * kMilli);
  EXPECT_EQ(seen.samples, 1U);
  EXPECT_NEAR(static_cast<double>(seen.p99), 5e6, 5e6 * 0.04);
}

TEST(LoopLag, SendsOnePingAtATime) {
  LoopLag lag;
  EXPECT_TRUE(lag.ping(0));
  EXPECT_FALSE(lag.ping(1));
  lag.pong(2);
  EXPECT_TRUE(lag.ping(3));
}

TEST(LoopLag, ShowsALoopThatHangs) {
  LoopLag lag;
  EXPECT_TRUE(lag.ping(0));
  const auto seen = lag.snapshot(3'000 * kMilli);
  EXPECT_EQ(seen.current, 3'000 * kMilli);
  EXPECT_EQ(lag.current(3'000 * kMilli), 3'000 * kMilli);
  EXPECT_EQ(seen.max, 3'000 * kMilli);
  EXPECT_EQ(seen.samples, 0U);
}

TEST(LoopLag, IgnoresAnAnswerToNothing) {
  LoopLag lag;
  lag.pong(5);
  EXPECT_EQ(lag.snapshot(6).samples, 0U);
}

}  // namespace
}  // namespace resilience
