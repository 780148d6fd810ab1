#include "resilience/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace resilience {
namespace {

template <typename Kind>
void expect_percentiles_within(double tolerance) {
  std::mt19937_64 random(11);
  std::lognormal_distribution<double> milliseconds(1.0, 1.5);
  Kind histogram;
  std::vector<Nanos> all;
  for (int i = 0; i < 20'000; ++i) {
    const auto duration = static_cast<Nanos>(milliseconds(random) * 1e6);
    histogram.record(duration);
    all.push_back(duration);
  }
  std::sort(all.begin(), all.end());
  for (const double q : {0.01, 0.5, 0.9, 0.99}) {
    const auto exact = static_cast<double>(all[static_cast<std::size_t>(std::ceil(q * 20'000)) - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.percentile(q)) / exact, 1.0, tolerance) << "q = " << q;
  }
}

TEST(Histogram, IsExactToHalfAPart) {
  expect_percentiles_within<CompactHistogram>(0.125);
  expect_percentiles_within<LatencyHistogram>(0.032);
}

TEST(Histogram, IsZeroWhileEmpty) {
  EXPECT_EQ(CompactHistogram{}.percentile(0.99), 0);
  EXPECT_EQ(CompactHistogram{}.count(), 0U);
}

TEST(Histogram, PutsWhatIsOutOfRangeIntoTheEndParts) {
  CompactHistogram histogram;
  histogram.record(-5);
  histogram.record(0);
  histogram.record(kForever);
  EXPECT_EQ(histogram.count(), 3U);
  EXPECT_LT(histogram.percentile(0.5), 2 * kNanosPerMicro);
  EXPECT_GT(histogram.percentile(1.0), 60 * kNanosPerSecond);
}

TEST(Histogram, HalvesAllCountersWhenOneIsFull) {
  CompactHistogram histogram;
  for (int i = 0; i < 100; ++i) {
    histogram.record(kNanosPerSecond);
  }
  for (int i = 0; i < 65'536; ++i) {
    histogram.record(kNanosPerMilli);
  }
  EXPECT_EQ(histogram.count(), 50U + 32'767U + 1U);
}

TEST(Histogram, MergesWithoutOverflow) {
  CompactHistogram one;
  CompactHistogram other;
  for (int i = 0; i < 40'000; ++i) {
    one.record(5);
    other.record(5);
  }
  one.merge(other);
  EXPECT_EQ(one.count(), 65'535U);
}

TEST(Histogram, LowerBoundsRiseAndContainWhatTheyCount) {
  for (std::size_t i = 1; i < CompactHistogram::kSize; ++i) {
    EXPECT_GT(CompactHistogram::lower_bound(i), CompactHistogram::lower_bound(i - 1));
    CompactHistogram histogram;
    histogram.record(CompactHistogram::lower_bound(i));
    EXPECT_EQ(histogram.at(i), 1) << "part " << i;
  }
}

}  // namespace
}  // namespace resilience
