#include "resilience/tick_grid.hpp"

#include <gtest/gtest.h>

namespace resilience {
namespace {

constexpr double kStart = 1.7e9;

Nanos at(double seconds) { return nanos_from_seconds(seconds); }

TEST(TickGrid, CountsOneStepATickWhenAllIsWell) {
  TickGrid grid(60.0);
  for (int i = 0; i < 100; ++i) {
    const auto tick = grid.tick(at(60.0 * i), kStart + 60.0 * i);
    EXPECT_EQ(tick.steps, 1);
    EXPECT_DOUBLE_EQ(tick.time, kStart + 60.0 * i);
  }
}

TEST(TickGrid, LateTicksDoNotDrift) {
  TickGrid grid(60.0);
  std::int64_t steps = 0;
  for (int i = 0; i < 1000; ++i) {
    const double late = i % 7;
    steps += grid.tick(at(60.0 * i + late), kStart + 60.0 * i + late).steps;
  }
  EXPECT_EQ(steps, 1000);
  EXPECT_NEAR(*grid.latest(), kStart + 60.0 * 999, 30.0);
}

TEST(TickGrid, ASecondTickInTheSameStepCountsNothing) {
  TickGrid grid(60.0);
  EXPECT_EQ(grid.tick(at(0), kStart).steps, 1);
  EXPECT_EQ(grid.tick(at(5), kStart + 5).steps, 0);
  EXPECT_EQ(grid.tick(at(60), kStart + 60).steps, 1);
}

TEST(TickGrid, ASuspendedMachineLeavesAGap) {
  TickGrid grid(60.0);
  grid.tick(at(0), kStart);
  const auto tick = grid.tick(at(60), kStart + 8 * 3600.0);  // the monotonic clock stood still meanwhile
  EXPECT_EQ(tick.steps, 480);
  EXPECT_FALSE(tick.set_back);
  EXPECT_EQ(grid.tick(at(120), kStart + 8 * 3600.0 + 60).steps, 1);
}

TEST(TickGrid, AClockSetBackAnHourIsReportedOnceAndTheSeriesGoesOn) {
  TickGrid grid(60.0);
  int reported = 0;
  for (int i = 0; i < 200; ++i) {
    const double wall = kStart + 60.0 * i - (i >= 100 ? 3600.0 : 0.0);
    const auto tick = grid.tick(at(60.0 * i), wall);
    EXPECT_EQ(tick.steps, 1) << i;
    EXPECT_DOUBLE_EQ(tick.time, kStart + 60.0 * i);
    reported += tick.set_back ? 1 : 0;
  }
  EXPECT_EQ(reported, 1);
}

TEST(TickGrid, AForcedStepComesEvenWhenTimeStandsStill) {
  TickGrid grid(60.0);
  EXPECT_EQ(grid.step(at(0), kStart).steps, 1);
  EXPECT_DOUBLE_EQ(grid.step(at(0), kStart).time, kStart + 60.0);
  const auto next = grid.step(at(1), kStart + 1);
  EXPECT_EQ(next.steps, 1);
  EXPECT_FALSE(next.set_back);
  EXPECT_EQ(grid.step(at(1), kStart + 1200).steps, 18);
}

TEST(TickGrid, GoesOnFromASeriesThatWasKept) {
  TickGrid grid(60.0);
  grid.resume(kStart);
  const auto tick = grid.tick(at(5), kStart + 600.0);
  EXPECT_EQ(tick.steps, 10);
  EXPECT_EQ(grid.tick(at(65), kStart + 660.0).steps, 1);
}

}  // namespace
}  // namespace resilience
