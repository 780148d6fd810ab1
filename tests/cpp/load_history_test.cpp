#include "resilience/load_history.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace resilience {
namespace {

TEST(LoadHistory, ReadsBackOnEveryScaleAndKeepsGapsAsGaps) {
  LoadHistory history(8);
  history.push(9.0, true);
  history.push(4.0, false);
  EXPECT_DOUBLE_EQ(history.at(Scale::kPlain, 0), 9.0);
  EXPECT_DOUBLE_EQ(history.at(Scale::kRoot, 0), 3.0);
  EXPECT_DOUBLE_EQ(history.at(Scale::kLog, 1), std::log1p(4.0));
  EXPECT_TRUE(history.measured(0));
  EXPECT_FALSE(history.measured(1));
  EXPECT_EQ(history.latest(), 1);
}

TEST(LoadHistory, ForgetsTheOldestWhenFull) {
  LoadHistory history(4);
  for (int i = 0; i < 6; ++i) {
    history.push(i, true);
  }
  EXPECT_FALSE(history.holds(1));
  EXPECT_TRUE(history.holds(2));
  EXPECT_FALSE(history.holds(6));
  EXPECT_DOUBLE_EQ(history.at(Scale::kPlain, 2), 2.0);
}

TEST(LoadHistory, AveragesAnyStretchThatIsHeld) {
  LoadHistory history(4);
  for (int i = 0; i < 6; ++i) {
    history.push(i, true);
  }
  EXPECT_DOUBLE_EQ(history.mean(Scale::kPlain, 2, 5, -1.0), 3.5);
  EXPECT_DOUBLE_EQ(history.mean(Scale::kPlain, -9, 99, -1.0), 3.5);
  EXPECT_DOUBLE_EQ(history.mean(Scale::kPlain, 0, 1, -1.0), -1.0);
  EXPECT_DOUBLE_EQ(history.mean(Scale::kPlain, 4, 4, -1.0), 4.0);
}

TEST(LoadHistory, ScalesThereAndBack) {
  for (const Scale scale : {Scale::kPlain, Scale::kRoot, Scale::kLog}) {
    EXPECT_NEAR(from_scale(scale, to_scale(scale, 123.0)), 123.0, 1e-9);
    EXPECT_DOUBLE_EQ(from_scale(scale, -1.0), 0.0);
  }
  EXPECT_TRUE(std::isfinite(from_scale(Scale::kLog, 1e9)));
}

}  // namespace
}  // namespace resilience
