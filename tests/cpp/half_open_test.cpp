#include "resilience/half_open.hpp"

#include <gtest/gtest.h>

namespace resilience {
namespace {

constexpr Nanos kLease = 100;

TEST(HalfOpenTrial, AdmitsNoMoreAtOnceThanItsConcurrency) {
  HalfOpenTrial trial(5, 3, 2, kLease);
  EXPECT_NE(trial.admit(0), 0U);
  EXPECT_NE(trial.admit(0), 0U);
  EXPECT_EQ(trial.admit(0), 0U);
  EXPECT_EQ(trial.next_place_in(40), 60);
}

TEST(HalfOpenTrial, AdmitsNoMoreInAllThanItsRequests) {
  HalfOpenTrial trial(3, 3, 1, kLease);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(trial.settle(trial.admit(0), true));
  }
  EXPECT_EQ(trial.admit(0), 0U);
}

TEST(HalfOpenTrial, DecidesAsSoonAsTheOutcomeIsCertain) {
  HalfOpenTrial closing(5, 2, 5, kLease);
  const auto first = closing.admit(0);
  const auto second = closing.admit(0);
  (void)closing.admit(0);
  EXPECT_TRUE(closing.settle(second, true));
  EXPECT_EQ(closing.verdict(), Verdict::kUndecided);
  EXPECT_TRUE(closing.settle(first, true));
  EXPECT_EQ(closing.verdict(), Verdict::kClose);

  HalfOpenTrial reopening(5, 3, 5, kLease);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(reopening.settle(reopening.admit(0), false));
    EXPECT_EQ(reopening.verdict(), Verdict::kUndecided);
  }
  EXPECT_TRUE(reopening.settle(reopening.admit(0), false));
  EXPECT_EQ(reopening.verdict(), Verdict::kReopen);
}

TEST(HalfOpenTrial, GivesAReleasedPlaceToAnother) {
  HalfOpenTrial trial(1, 1, 1, kLease);
  EXPECT_TRUE(trial.release(trial.admit(0)));
  EXPECT_NE(trial.admit(0), 0U);
  EXPECT_EQ(trial.verdict(), Verdict::kUndecided);
}

TEST(HalfOpenTrial, GivesAHungProbesPlaceAwayAndIgnoresItsOutcome) {
  HalfOpenTrial trial(2, 2, 1, kLease);
  const auto hung = trial.admit(0);
  EXPECT_EQ(trial.admit(kLease - 1), 0U);
  const auto next = trial.admit(kLease);
  EXPECT_NE(next, 0U);
  EXPECT_FALSE(trial.settle(hung, true));
  EXPECT_FALSE(trial.release(hung));
  EXPECT_TRUE(trial.settle(next, true));
  EXPECT_EQ(trial.verdict(), Verdict::kUndecided);
}

}  // namespace
}  // namespace resilience
