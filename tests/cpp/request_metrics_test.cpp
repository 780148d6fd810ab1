#include "resilience/request_metrics.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

namespace resilience {
namespace {

constexpr Nanos kStart = 1'000 * kNanosPerSecond;
constexpr Nanos kMillis = kNanosPerMilli;

RequestMetrics::Series series_of(const RequestMetrics& metrics, const std::string& method,
                                 const std::string& route, int status) {
  RequestMetrics::Series found;
  metrics.each([&](const RequestMetrics::Key& key, const RequestMetrics::Series& series) {
    if (key.method == method && key.route == route && key.status == status) {
      found = series;
    }
  });
  return found;
}

std::size_t number_of_series(const RequestMetrics& metrics) {
  std::size_t number = 0;
  metrics.each([&](const RequestMetrics::Key&, const RequestMetrics::Series&) { ++number; });
  return number;
}

TEST(RequestMetrics, EachMethodRouteAndStatusIsASeriesOfItsOwn) {
  RequestMetrics metrics(kStart);
  metrics.observe(kStart, "GET", "/a", 200, kMillis);
  metrics.observe(kStart, "GET", "/a", 200, 3 * kMillis);
  metrics.observe(kStart, "GET", "/a", 500, kMillis);
  metrics.observe(kStart, "POST", "/a", 200, kMillis);
  metrics.observe(kStart, "GET", "/b", 200, kMillis);
  EXPECT_EQ(number_of_series(metrics), 4U);
  const RequestMetrics::Series series = series_of(metrics, "GET", "/a", 200);
  EXPECT_EQ(series.total, 4 * kMillis);
  EXPECT_FALSE(series.failed);
  EXPECT_TRUE(series_of(metrics, "GET", "/a", 500).failed);
  EXPECT_EQ(metrics.requests(), 5U);
  EXPECT_EQ(metrics.total(), 7 * kMillis);
}

TEST(RequestMetrics, AnUnknownMethodIsCountedWithAllOthersOfItsKind) {
  RequestMetrics metrics(kStart);
  for (int number = 0; number < 1'000; ++number) {
    metrics.observe(kStart, "METHOD" + std::to_string(number), "/a", 200, kMillis);
  }
  metrics.observe(kStart, "", "/a", 200, kMillis);
  EXPECT_EQ(number_of_series(metrics), 1U);
  EXPECT_EQ(series_of(metrics, "OTHER", "/a", 200).buckets[1], 1'001U);
}

TEST(RequestMetrics, ADurationFallsIntoTheBucketWhoseBoundItDoesNotExceed) {
  RequestMetrics metrics(kStart);
  for (const Nanos bound : RequestMetrics::kBounds) {
    metrics.observe(kStart, "GET", "/a", 200, bound);
    metrics.observe(kStart, "GET", "/a", 200, bound + 1);
  }
  const auto buckets = series_of(metrics, "GET", "/a", 200).buckets;
  EXPECT_EQ(buckets.front(), 1U);
  EXPECT_EQ(buckets.back(), 1U);
  for (std::size_t i = 1; i + 1 < buckets.size(); ++i) {
    EXPECT_EQ(buckets[i], 2U) << i;
  }
}

TEST(RequestMetrics, ProbesAreSummarisedApartAndCountedWithTheRestToo) {
  RequestMetrics metrics(kStart);
  metrics.observe(kStart, "GET", "/healthz", 200, kMillis);
  metrics.observe(kStart, "GET", "/health/else", 200, 50 * kMillis);
  EXPECT_EQ(metrics.probes_of_last_minute(kStart).requests, 1U);
  EXPECT_EQ(metrics.last_minute(kStart).requests, 2U);
  EXPECT_TRUE(RequestMetrics::is_probe("/ready"));
  EXPECT_FALSE(RequestMetrics::is_probe("/readyz"));
}

TEST(MinuteWindow, WhatIsOlderThanAMinuteIsForgotten) {
  MinuteWindow window(kStart);
  window.observe(kStart, 10 * kMillis, false);
  window.observe(kStart + 30 * kNanosPerSecond, 20 * kMillis, true);
  EXPECT_EQ(window.summary(kStart + 59 * kNanosPerSecond).requests, 2U);
  const MinuteSummary later = window.summary(kStart + 61 * kNanosPerSecond);
  EXPECT_EQ(later.requests, 1U);
  EXPECT_EQ(later.errors, 1U);
  EXPECT_EQ(later.total, 20 * kMillis);
  EXPECT_EQ(window.summary(kStart + 91 * kNanosPerSecond).requests, 0U);
  EXPECT_EQ(window.summary(kStart + 91 * kNanosPerSecond).p99, 0);
}

TEST(MinuteWindow, ASlotIsUsedAgainAMinuteLater) {
  MinuteWindow window(kStart);
  for (int second = 0; second < 200; ++second) {
    window.observe(kStart + second * kNanosPerSecond, kMillis, false);
  }
  EXPECT_EQ(window.summary(kStart + 199 * kNanosPerSecond).requests, 60U);
}

TEST(MinuteWindow, TheSpanGrowsFromOneSecondToAMinute) {
  const MinuteWindow window(kStart);
  EXPECT_EQ(window.summary(kStart).span, kNanosPerSecond);
  EXPECT_EQ(window.summary(kStart + 30 * kNanosPerSecond).span, 30 * kNanosPerSecond);
  EXPECT_EQ(window.summary(kStart + 300 * kNanosPerSecond).span, 60 * kNanosPerSecond);
}

TEST(MinuteWindow, PercentilesAreWithinSixPercent) {
  MinuteWindow window(kStart);
  for (int i = 1; i <= 1'000; ++i) {
    window.observe(kStart + i * kNanosPerMilli, i * 100 * kNanosPerMicro, false);
  }
  const MinuteSummary summary = window.summary(kStart + kNanosPerSecond);
  EXPECT_NEAR(static_cast<double>(summary.p50), 50e6, 3.2e6);
  EXPECT_NEAR(static_cast<double>(summary.p99), 99e6, 6.2e6);
}

}  // namespace
}  // namespace resilience
