#include "resilience/batch_cost.hpp"

#include <gtest/gtest.h>

namespace resilience {
namespace {

constexpr Nanos kMilli = kNanosPerMilli;

TEST(BatchCost, FitsBothParts) {
  BatchCost cost;
  for (std::size_t n = 1; n <= 30; ++n) {
    cost.observe(n, (40 + 2 * static_cast<Nanos>(n)) * kMilli);
  }
  EXPECT_NEAR(cost.per_item(), 0.002, 1e-6);
  EXPECT_NEAR(cost.per_batch(), 0.040, 1e-5);
}

TEST(BatchCost, CountsEverythingAsPerBatchWhileSizesDoNotVary) {
  BatchCost cost;
  EXPECT_FALSE(cost.known());
  for (int i = 0; i < 10; ++i) {
    cost.observe(4, 20 * kMilli);
  }
  EXPECT_EQ(cost.per_item(), 0.0);
  EXPECT_NEAR(cost.per_batch(), 0.020, 1e-9);
}

TEST(BatchCost, NeverGoesBelowNothing) {
  BatchCost cost;
  cost.observe(1, 50 * kMilli);
  cost.observe(10, 5 * kMilli);
  EXPECT_EQ(cost.per_item(), 0.0);
  EXPECT_GE(cost.per_batch(), 0.0);
}

}  // namespace
}  // namespace resilience
