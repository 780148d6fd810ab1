#include "resilience/arrival_rate.hpp"

#include <gtest/gtest.h>

namespace resilience {
namespace {

constexpr Nanos kMilli = kNanosPerMilli;

TEST(ArrivalRate, FindsASteadyRateAndForgetsIt) {
  ArrivalRate rate;
  EXPECT_EQ(rate.per_second(0), 0.0);
  Nanos now = 0;
  for (int i = 0; i < 400; ++i) {
    rate.arrived(now);
    now += 10 * kMilli;
  }
  EXPECT_NEAR(rate.per_second(now), 100.0, 5.0);
  EXPECT_LT(rate.per_second(now + 10 * kNanosPerSecond), 0.1);
}

TEST(ArrivalRate, TakesALoneArrivalForNearlyNothing) {
  ArrivalRate rate;
  rate.arrived(0);
  EXPECT_LT(rate.per_second(1), 1.0);
}

}  // namespace
}  // namespace resilience
