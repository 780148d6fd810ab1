#include "resilience/time_source.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace resilience {
namespace {

TEST(TimeSource, IsTheSystemsClockUnlessAnotherIsGiven) {
  EXPECT_TRUE(TimeSource().is_system());
  EXPECT_TRUE(TimeSource(SystemClock::instance()).is_system());
  EXPECT_FALSE(TimeSource(std::make_shared<ManualClock>()).is_system());
}

TEST(TimeSource, LendsTheClockThatItReads) {
  const auto manual = std::make_shared<ManualClock>();
  EXPECT_EQ(&TimeSource(manual).clock(), manual.get());
  EXPECT_EQ(&TimeSource().clock(), SystemClock::instance().get());
}

TEST(TimeSource, EqualsAnotherThatReadsTheSameClock) {
  const auto manual = std::make_shared<ManualClock>();
  EXPECT_EQ(TimeSource(manual), TimeSource(manual));
  EXPECT_EQ(TimeSource(), TimeSource(SystemClock::instance()));
  EXPECT_NE(TimeSource(manual), TimeSource());
  EXPECT_NE(TimeSource(manual), TimeSource(std::make_shared<ManualClock>()));
}

TEST(TimeSource, TellsByAManualClocksStampsWhatHasPassed) {
  const auto manual = std::make_shared<ManualClock>(7);
  const TimeSource time(manual);
  const TimeSource::Stamp stamp = time.stamp();
  manual->advance(5);
  EXPECT_EQ(time.now(), 12);
  EXPECT_EQ(time.time_of(stamp), 7);
  Nanos passed = 0;
  EXPECT_EQ(time.now_since(stamp, passed), 12);
  EXPECT_EQ(passed, 5);
}

TEST(TimeSource, TellsByTheSystemsStampsWhatHasPassed) {
  const TimeSource time;
  const Nanos before = time.now();
  const TimeSource::Stamp stamp = time.stamp();
  Nanos passed = -1;
  const Nanos after = time.now_since(stamp, passed);
  EXPECT_GE(passed, 0);
  EXPECT_LE(passed, after - before + kNanosPerMilli);  // the counter is measured anew between the readings
}

}  // namespace
}  // namespace resilience
