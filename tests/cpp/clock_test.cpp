#include "resilience/clock.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace resilience {
namespace {

TEST(Clock, ConvertsSecondsAndSaturates) {
  EXPECT_EQ(nanos_from_seconds(1.5), 1'500'000'000);
  EXPECT_EQ(nanos_from_seconds(1e30), kForever);
  EXPECT_EQ(nanos_from_seconds(std::nan("")), 0);
  EXPECT_EQ(saturating_add(kForever, 1), kForever);
}

TEST(Clock, SystemClockNeverGoesBack) {
  const auto& clock = SystemClock::instance();
  const Nanos first = clock->now();
  EXPECT_GE(clock->now(), first);
  EXPECT_LE(clock->coarse_now(), clock->now() + kNanosPerMicro);
  EXPECT_GT(clock->unix_time(), 1.6e9);
}

TEST(ManualClock, RunsTimersInOrderAtTheirOwnDeadlines) {
  ManualClock clock;
  std::vector<Nanos> seen;
  clock.schedule(30, [&] { seen.push_back(clock.now()); });
  clock.schedule(10, [&] {
    seen.push_back(clock.now());
    clock.schedule(20, [&] { seen.push_back(clock.now()); });
  });
  clock.advance(25);
  EXPECT_EQ(seen, (std::vector<Nanos>{10, 20}));
  EXPECT_EQ(clock.now(), 25);
  clock.advance(5);
  EXPECT_EQ(seen.back(), 30);
}

TEST(ManualClock, CancelledTimerNeverRuns) {
  ManualClock clock;
  bool ran = false;
  const auto id = clock.schedule(10, [&] { ran = true; });
  EXPECT_TRUE(clock.cancel(id));
  EXPECT_FALSE(clock.cancel(id));
  clock.advance(100);
  EXPECT_FALSE(ran);
  EXPECT_EQ(clock.pending(), 0U);
}

}  // namespace
}  // namespace resilience
