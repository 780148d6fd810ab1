#include "resilience/hedge.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace resilience {
namespace {

TEST(Hedge, SendsSoManyAfterAFixedDelay) {
  Hedge hedge({.delay = 0.25, .max_hedges = 2});
  EXPECT_EQ(hedge.delay(1), kNanosPerSecond / 4);
  EXPECT_EQ(hedge.delay(2), kNanosPerSecond / 4);
  EXPECT_EQ(hedge.delay(3), std::nullopt);
}

TEST(Hedge, WaitsForTheQuantileOfRecentCallsOnceItHasSeenEnough) {
  Hedge hedge({.quantile = 0.95});
  for (int i = 1; i < 20; ++i) {
    hedge.record(i);
    EXPECT_EQ(hedge.delay(1), std::nullopt);
  }
  hedge.record(20);
  EXPECT_EQ(hedge.delay(1), 20);
  for (int i = 1; i <= 256; ++i) {
    hedge.record(i * 10);
  }
  EXPECT_NEAR(static_cast<double>(*hedge.delay(1)), 2'440, 20);
}

TEST(Hedge, ForgetsOldCalls) {
  Hedge hedge({.quantile = 0.5});
  for (int i = 0; i < 256; ++i) {
    hedge.record(1'000'000);
  }
  for (int i = 0; i < 256; ++i) {
    hedge.record(5);
  }
  EXPECT_EQ(hedge.delay(1), 5);
}

TEST(HedgeConfig, NamesTheArgumentItRefuses) {
  EXPECT_EQ((HedgeConfig{.delay = -1}).validate().argument, "delay");
  EXPECT_EQ((HedgeConfig{.delay = std::nan("")}).validate().argument, "delay");
  EXPECT_EQ((HedgeConfig{.quantile = 1.0}).validate().argument, "delay");
  EXPECT_EQ((HedgeConfig{.max_hedges = 0}).validate().argument, "max_hedges");
}

}  // namespace
}  // namespace resilience
