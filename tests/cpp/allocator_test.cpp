#include "resilience/allocator.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/loads.hpp"

namespace resilience {
namespace {

constexpr double kMonday = 1.7e9 - std::fmod(1.7e9, 86400.0);

LoadSample sample(int step, double rpm, double connections = 1.0) {
  return {.time = kMonday + 60.0 * step, .rpm = rpm, .connections = connections, .response_time = 0.1};
}

void apply_all(Allocator& allocator, std::span<const AuditEntry> proposals) {
  const std::vector<AuditEntry> wanted(proposals.begin(), proposals.end());
  for (const AuditEntry& entry : wanted) {
    allocator.settle(entry.id, ResizeOutcome::kApplied, entry.to);
  }
}

TEST(SimilarPeriodsRules, ActAsDocumented) {
  const Sizes current{5, 20, 100};
  const Sizes limits{20, 100, 500};
  const auto decide = [&](SimilarPeriodsInput input) {
    return similar_periods_sizes(input, current, limits);
  };
  EXPECT_EQ(decide({.expected_rpm = 500, .expected_connections = 90, .confidence = 0.49, .increasing = true}),
            current);
  EXPECT_EQ(decide({.expected_rpm = 100.0, .confidence = 1.0}), current);
  EXPECT_EQ(decide({.expected_rpm = 100.5, .confidence = 0.5}), (Sizes{10, 20, 100}));
  EXPECT_EQ(decide({.expected_connections = 16.0, .confidence = 0.5}), current);
  EXPECT_EQ(decide({.expected_connections = 18.0, .confidence = 0.5}), (Sizes{5, 27, 100}));
  EXPECT_EQ(decide({.expected_connections = 1e300, .confidence = 0.5}), (Sizes{5, 100, 100}));
  EXPECT_EQ(decide({.confidence = 0.5, .increasing = true}), (Sizes{5, 20, 150}));
  EXPECT_EQ(similar_periods_sizes({.expected_rpm = 500, .confidence = 1.0, .increasing = true}, {5, 20, 480},
                                  {8, 100, 500}),
            (Sizes{8, 20, 500}));
}

TEST(Allocator, FollowsTheDocumentedRulesWithSimilarPeriods) {
  Allocator allocator({.lead_time = 60.0, .kind = ForecastKind::kSimilarPeriods});
  for (int i = 0; i < 59; ++i) {
    EXPECT_TRUE(allocator.observe(sample(i, 150.0, 40.0), 1).empty()) << i;
  }
  for (int i = 59; i < 70; ++i) {  // the target's hour begins at step 60
    apply_all(allocator, allocator.observe(sample(i, 150.0, 40.0), 1));
  }
  EXPECT_EQ(allocator.current(), (Sizes{10, 60, 100}));
  EXPECT_EQ(allocator.rule(), "similar_periods");
  EXPECT_EQ(allocator.audit().front().rule, "similar_periods");
}

TEST(Allocator, KeepsTheCurrentSizeUntilAChangeIsApplied) {
  Allocator allocator(AllocatorConfig{});
  const auto proposals = allocator.observe(sample(0, 130.0), 1);
  ASSERT_FALSE(proposals.empty());
  const AuditEntry workers = proposals.front();
  EXPECT_EQ(workers.resource, Resource::kWorkers);
  EXPECT_EQ(workers.to, 19);  // 130 / (10 * 0.7), the reactive rule
  EXPECT_EQ(workers.rule, "reactive");
  EXPECT_EQ(allocator.current()[0], 5);
  allocator.settle(workers.id, ResizeOutcome::kFailed, 5);
  EXPECT_EQ(allocator.current()[0], 5);
  EXPECT_EQ(allocator.audit().front().outcome, ResizeOutcome::kFailed);
  allocator.settle(workers.id, ResizeOutcome::kApplied, 17);  // what was read back counts
  EXPECT_EQ(allocator.current()[0], 17);
}

TEST(Allocator, GoesDownAsWellAsUpButNotAtOnce) {
  Allocator allocator({.lead_time = 60.0});
  apply_all(allocator, allocator.observe(sample(0, 140.0, 50.0), 1));
  EXPECT_EQ(allocator.current()[0], 20);
  EXPECT_EQ(allocator.current()[1], 63);
  int step = 1;
  for (; allocator.current()[0] == 20 && step < 60; ++step) {
    apply_all(allocator, allocator.observe(sample(step, 7.0, 5.0), 1));
  }
  EXPECT_EQ(step, 18);  // the reactive window of 15 minutes, then three proposals in a row
  EXPECT_EQ(allocator.current()[0], 1);
  EXPECT_EQ(allocator.current()[1], 7);
}

TEST(Allocator, GapsStayGaps) {
  Allocator allocator({.history_days = 1.0});
  allocator.observe(sample(0, 10.0), 1);
  allocator.observe(sample(5, 20.0), 5);
  ASSERT_EQ(allocator.history().size(), 6U);
  EXPECT_EQ(allocator.history()[3].rpm, std::nullopt);
  EXPECT_DOUBLE_EQ(allocator.history()[3].time, kMonday + 180.0);
  allocator.observe(sample(1'000'000, 30.0), 999'995);
  EXPECT_EQ(allocator.history().size(), 1440U);
  EXPECT_EQ(allocator.history().back().rpm, 30.0);
}

TEST(Allocator, LearnsHowLongAStartTakesAndWhatAWorkerServes) {
  Allocator allocator(AllocatorConfig{});
  EXPECT_DOUBLE_EQ(allocator.start_delay(Resource::kWorkers), 900.0);
  allocator.started(Resource::kWorkers, 45.0);
  allocator.started(Resource::kWorkers, 30.0);
  EXPECT_DOUBLE_EQ(allocator.start_delay(Resource::kWorkers), 45.0);
  LoadSample busy = sample(0, 600.0);
  busy.cpu_cores = 2.0;
  allocator.observe(busy, 1);
  EXPECT_DOUBLE_EQ(allocator.rpm_per_worker(), 300.0);
}

TEST(Allocator, TheCacheFollowsTheTrendAndYieldsToTightMemory) {
  Allocator allocator(AllocatorConfig{});
  int step = 0;
  for (; step < 12; ++step) {
    apply_all(allocator, allocator.observe(sample(step, 10.0 * step), 1));
  }
  const std::int64_t grown = allocator.current()[2];
  EXPECT_GT(grown, 100);
  LoadSample tight = sample(step, 10.0 * step);
  tight.memory_fraction = 0.95;
  apply_all(allocator, allocator.observe(tight, 1));
  EXPECT_EQ(allocator.current()[2], grown - 50);
  EXPECT_EQ(allocator.audit().back().rule, "memory");
}

TEST(Allocator, LearnsFromWhatItReplaysWithoutActing) {
  Allocator allocator(AllocatorConfig{});
  for (int i = 0; i < 30; ++i) {
    allocator.replay(sample(i, 130.0), 1);
  }
  EXPECT_EQ(allocator.history().size(), 30U);
  EXPECT_TRUE(allocator.audit().empty());
  EXPECT_DOUBLE_EQ(allocator.rpm().mean(), 130.0);
  EXPECT_FALSE(allocator.observe(sample(30, 130.0), 1).empty());
}

TEST(Allocator, ItsAuditIsBounded) {
  Allocator allocator(AllocatorConfig{});
  for (int i = 0; i < 3000; ++i) {
    allocator.observe(sample(i, 130.0), 1);
  }
  EXPECT_EQ(allocator.audit().size(), 1024U);
}

TEST(Allocator, RefusesSettingsOutOfRangeByName) {
  EXPECT_EQ(AllocatorConfig{.interval = 0.0}.validate().argument, "interval");
  EXPECT_EQ(AllocatorConfig{.history_days = 99.0}.validate().argument, "history_days");
  EXPECT_EQ(AllocatorConfig{.lead_time = 0.0}.validate().argument, "lead_time");
  EXPECT_EQ((AllocatorConfig{.limits = {0, 100, 500}}.validate().argument), "limits max_workers");
  EXPECT_EQ((AllocatorConfig{.initial = {50, 20, 100}}.validate().argument), "initial workers");
  EXPECT_TRUE(AllocatorConfig{}.validate().ok());
}

}  // namespace
}  // namespace resilience
