#include "resilience/cache.hpp"

#include <gtest/gtest.h>

#include <random>

#include "support/cache_model.hpp"

namespace resilience {
namespace {

constexpr Nanos kSecond = kNanosPerSecond;

struct Case {
  CachePolicyKind policy;
  std::uint64_t max_weight;
  Nanos sliding;
  Nanos grace;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto policy : {CachePolicyKind::kAdaptive, CachePolicyKind::kLru, CachePolicyKind::kS3Fifo,
                            CachePolicyKind::kWTinyLfu}) {
    for (const std::uint64_t weight : {UINT64_MAX, std::uint64_t{400}}) {
      for (const Nanos sliding : {kForever, 2 * kSecond}) {
        for (const Nanos grace : {Nanos{0}, kSecond}) {
          cases.push_back({policy, weight, sliding, grace});
        }
      }
    }
  }
  return cases;
}

class CacheAgainstModel : public ::testing::TestWithParam<Case> {};

TEST_P(CacheAgainstModel, KeepsEveryPromiseAfterEachOfRandomOperations) {
  for (const std::size_t entries : {1U, 2U, 7U, 33U}) {
    CacheConfig config;
    config.max_entries = entries;
    config.max_weight = GetParam().max_weight;
    config.policy = GetParam().policy;
    config.sliding = GetParam().sliding;
    config.grace = GetParam().grace;
    testing::CacheModel model(config);
    std::mt19937 random(20'240'601U + static_cast<unsigned>(entries));
    std::uniform_int_distribution<unsigned> byte(0, 255);
    for (int step = 0; step < 4'000; ++step) {
      ASSERT_NO_THROW(testing::run_operation(model, [&] { return static_cast<std::uint8_t>(byte(random)); }))
          << "step " << step;
    }
    EXPECT_TRUE(model.cache.consistent());
  }
}

INSTANTIATE_TEST_SUITE_P(AllConfigurations, CacheAgainstModel, ::testing::ValuesIn(all_cases()));

class CacheTest : public ::testing::Test {
 protected:
  static Cache make(std::size_t entries, Nanos ttl = kForever) {
    CacheConfig config;
    config.max_entries = entries;
    config.ttl = ttl;
    return Cache(config);
  }
  static Slot find(const Cache& cache, CacheHandle key) {
    return cache.find(cache.mix(key), [key](CacheHandle other) { return other == key; });
  }
  void put(Cache& cache, CacheHandle key, Cache::Terms terms = {}) {
    EXPECT_TRUE(cache.insert(cache.mix(key), key, key + 1'000, terms, now_, out_));
  }
  Nanos now_ = 0;
  Evictions out_;
};

TEST_F(CacheTest, AnEntryIsFreshUntilItsTimeToLiveHasPassedAndNotAtIt) {
  Cache cache = make(4, 10 * kSecond);
  put(cache, 1);
  EXPECT_TRUE(cache.fresh(find(cache, 1), 10 * kSecond - 1));
  EXPECT_FALSE(cache.fresh(find(cache, 1), 10 * kSecond));
  EXPECT_EQ(cache.expires_at(find(cache, 1)), 10 * kSecond);
}

TEST_F(CacheTest, ExpiredEntriesLeaveInSlicesWithoutBeingRead) {
  Cache cache = make(1'000, kSecond);
  for (CacheHandle key = 1; key <= 100; ++key) {
    put(cache, key);
  }
  EXPECT_FALSE(cache.expiry_due(kSecond - 1));
  std::size_t left = cache.size();
  int slices = 0;
  for (bool done = false; !done; ++slices) {
    Evictions out;
    done = cache.expire(2 * kSecond, 16, false, out);
    EXPECT_LE(out.size(), 16U);
    left -= out.size();
  }
  EXPECT_EQ(left, 0U);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_GE(slices, 7);
  EXPECT_EQ(cache.stats().evictions[static_cast<std::size_t>(EvictionCause::kExpired)], 100U);
}

TEST_F(CacheTest, AnEntryHeavierThanTheBoundIsRefusedAndEmptiesNothing) {
  CacheConfig config;
  config.max_weight = 100;
  Cache cache(config);
  put(cache, 1, {.weight = 60});
  put(cache, 2, {.weight = 40});
  EXPECT_FALSE(cache.insert(cache.mix(3), 3, 3, {.weight = 101}, now_, out_));
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.weight(), 100U);
  EXPECT_TRUE(out_.empty());
}

TEST_F(CacheTest, ReplacingWithSomethingTooHeavyRemovesTheOldValue) {
  CacheConfig config;
  config.max_weight = 100;
  Cache cache(config);
  put(cache, 1, {.weight = 60});
  EXPECT_FALSE(cache.replace(find(cache, 1), 5, {.weight = 101}, now_, out_));
  EXPECT_EQ(cache.size(), 0U);
  ASSERT_EQ(out_.size(), 1U);
  EXPECT_EQ(out_[0].value, 1'001U);
}

TEST_F(CacheTest, WeightThatEvictsKeepsThePolicyWorkingAtTheNumberThatFits) {
  CacheConfig config;
  config.max_entries = 1'000'000;
  config.max_weight = 10'000;
  Cache cache(config);
  std::mt19937 random(7);
  std::size_t hits = 0;
  for (int i = 0; i < 40'000; ++i) {  // 50 hot keys among many that never come back
    const CacheHandle key = i % 2 == 0 ? 1 + random() % 50 : 1'000 + static_cast<CacheHandle>(i);
    const Slot slot = find(cache, key);
    if (slot == kNoSlot) {
      put(cache, key, {.weight = 100});
    } else {
      cache.hit(slot, now_);
      ++hits;
    }
    ASSERT_LE(cache.weight(), 10'000U);
  }
  EXPECT_GT(hits, 19'000U);
  EXPECT_TRUE(cache.consistent());
}

TEST_F(CacheTest, ATagTakesAwayItsEntriesAndNoOthers) {
  Cache cache = make(10);
  const std::vector<std::uint64_t> red{1};
  const std::vector<std::uint64_t> both{1, 2};
  put(cache, 1, {.tags = red});
  put(cache, 2, {.tags = both});
  put(cache, 3);
  while (cache.erase_tagged(1, out_)) {
  }
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_NE(find(cache, 3), kNoSlot);
  EXPECT_FALSE(cache.erase_tagged(2, out_));
}

TEST_F(CacheTest, ShrinkingEvictsAtOnceAndGrowingEvictsNothing) {
  Cache cache = make(100);
  for (CacheHandle key = 1; key <= 100; ++key) {
    put(cache, key);
  }
  cache.resize(10, UINT64_MAX, out_);
  EXPECT_EQ(cache.size(), 10U);
  EXPECT_EQ(out_.size(), 90U);
  cache.resize(1'000, UINT64_MAX, out_);
  EXPECT_EQ(out_.size(), 90U);
  EXPECT_TRUE(cache.consistent());
}

TEST_F(CacheTest, TakesAtMostAHundredBytesAnEntryWithExpiryAndTheAdaptivePolicy) {
  constexpr std::size_t kEntries = 500'000;
  Cache cache = make(kEntries, kSecond);
  for (CacheHandle key = 1; key <= 2 * kEntries; ++key) {
    Evictions out;
    EXPECT_TRUE(cache.insert(cache.mix(key), key, key, {}, now_, out));
  }
  EXPECT_EQ(cache.size(), kEntries);
  const double bytes = static_cast<double>(cache.memory_bytes()) / kEntries;
  RecordProperty("bytes_per_entry", std::to_string(bytes));
  EXPECT_LE(bytes, 100.0);
}

TEST(CacheConfigTest, NamesTheArgumentThatIsOutOfRange) {
  CacheConfig config;
  EXPECT_TRUE(config.validate().ok());
  config.max_entries = 0;
  EXPECT_EQ(config.validate().argument, "max_entries");
  config = {};
  config.max_weight = 0;
  EXPECT_EQ(config.validate().argument, "max_bytes");
  config = {};
  config.ttl = 0;
  EXPECT_EQ(config.validate().argument, "ttl");
  config = {};
  config.sliding = -1;
  EXPECT_EQ(config.validate().argument, "sliding");
}

}  // namespace
}  // namespace resilience
