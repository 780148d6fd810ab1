#include "resilience/frequency_sketch.hpp"

#include <gtest/gtest.h>

#include "resilience/hash_index.hpp"

namespace resilience {
namespace {

std::uint32_t hash(std::uint64_t key) { return mix_hash(key, 42); }

TEST(FrequencySketch, NeverEstimatesBelowTheTrueCount) {
  FrequencySketch sketch(1'024);
  for (std::uint64_t key = 0; key < 600; ++key) {
    for (std::uint64_t time = 0; time <= key % 15; ++time) {
      sketch.increment(hash(key));
    }
  }
  for (std::uint64_t key = 0; key < 600; ++key) {
    EXPECT_GE(sketch.estimate(hash(key)), key % 15 + 1);
  }
}

TEST(FrequencySketch, CountsRareKeysNearlyExactly) {
  FrequencySketch sketch(1'024);
  for (std::uint64_t key = 0; key < 1'000; ++key) {
    sketch.increment(hash(key));
  }
  int exact = 0;
  for (std::uint64_t key = 0; key < 1'000; ++key) {
    exact += sketch.estimate(hash(key)) == 1 ? 1 : 0;
  }
  EXPECT_GE(exact, 970);
}

TEST(FrequencySketch, HalvesEveryCounterOnceTenCapacitiesWereCounted) {
  FrequencySketch sketch(512);
  for (int time = 0; time < 12; ++time) {
    sketch.increment(hash(1));
  }
  for (std::uint64_t other = 0; other < 10 * 512 - 12; ++other) {
    sketch.increment(hash(1'000 + other));
  }
  const std::uint32_t right_after = sketch.estimate(hash(1));
  EXPECT_GE(right_after, 6U);
  EXPECT_LE(right_after, 7U);
  for (std::uint64_t other = 0; other < 100; ++other) {  // the sweep over the table goes on meanwhile
    sketch.increment(hash(50'000 + other));
  }
  EXPECT_GE(sketch.estimate(hash(1)), right_after);
  EXPECT_LE(sketch.estimate(hash(1)), right_after + 1);
}

TEST(FrequencySketch, GrowingKeepsWhatWasCounted) {
  FrequencySketch sketch(64);
  for (int time = 0; time < 5; ++time) {
    sketch.increment(hash(9));
  }
  sketch.resize(4'096);
  EXPECT_GE(sketch.estimate(hash(9)), 5U);
  EXPECT_EQ(sketch.memory_bytes(), 8U * 4'096U);
}

}  // namespace
}  // namespace resilience
