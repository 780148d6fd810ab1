#include "resilience/cache_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <unordered_map>
#include <vector>

#include "resilience/ghost_list.hpp"
#include "resilience/hash_index.hpp"

namespace resilience {
namespace {

using Trace = std::vector<std::uint32_t>;
constexpr std::uint64_t kSeed = 4'711;

double hit_rate(CachePolicyKind kind, std::size_t capacity, const Trace& trace) {
  const auto policy = make_cache_policy(kind, capacity);
  std::unordered_map<std::uint32_t, Slot> slots;
  std::vector<std::uint32_t> keys(capacity + 1);
  std::vector<Slot> free(capacity + 1);
  for (Slot slot = 0; slot <= capacity; ++slot) {
    free[slot] = slot;
  }
  std::size_t hits = 0;
  for (const std::uint32_t key : trace) {
    const auto found = slots.find(key);
    if (found != slots.end()) {
      ++hits;
      policy->hit(found->second);
      continue;
    }
    const Slot slot = free.back();
    free.pop_back();
    slots[key] = slot;
    keys[slot] = key;
    policy->insert(slot, mix_hash(key, kSeed));
    while (policy->size() > capacity) {
      const Slot victim = policy->evict();
      EXPECT_EQ(slots.erase(keys[victim]), 1U) << "it evicted what it did not hold";
      free.push_back(victim);
    }
    policy->settle();
  }
  EXPECT_TRUE(policy->consistent());
  return static_cast<double>(hits) / static_cast<double>(trace.size());
}

Trace loop(std::uint32_t length, std::size_t requests) {
  Trace trace(requests);
  for (std::size_t at = 0; at < requests; ++at) {
    trace[at] = static_cast<std::uint32_t>(at) % length;
  }
  return trace;
}

Trace zipf(double exponent, std::uint32_t keys, std::size_t requests, std::uint32_t offset = 0) {
  std::vector<double> weights(keys);
  for (std::uint32_t key = 0; key < keys; ++key) {
    weights[key] = 1.0 / std::pow(key + 1.0, exponent);
  }
  std::mt19937 random(kSeed);
  std::discrete_distribution<std::uint32_t> draw(weights.begin(), weights.end());
  Trace trace(requests);
  std::generate(trace.begin(), trace.end(), [&] { return offset + draw(random); });
  return trace;
}

// Each key comes three times within a short while and never again: recency is all that counts.
Trace bursts(std::size_t requests, std::uint32_t spread) {
  std::mt19937 random(kSeed);
  Trace trace(requests);
  for (std::size_t at = 0; at < requests; ++at) {
    trace[at] = static_cast<std::uint32_t>(at / 3) + static_cast<std::uint32_t>(random() % spread);
  }
  return trace;
}

TEST(CachePolicy, AdaptiveKeepsPartOfALoopThatIsLongerThanTheCache) {
  const Trace trace = loop(1'011, 300'000);
  EXPECT_EQ(hit_rate(CachePolicyKind::kLru, 900, trace), 0.0);
  EXPECT_GE(hit_rate(CachePolicyKind::kAdaptive, 900, trace), 0.82);
  EXPECT_GE(hit_rate(CachePolicyKind::kAdaptive, 512, trace), 0.45);
  EXPECT_GE(hit_rate(CachePolicyKind::kAdaptive, 256, trace), 0.22);
}

TEST(CachePolicy, AdaptiveIsFarAboveLruWherePopularityCounts) {
  const Trace trace = zipf(0.9, 100'000, 300'000);
  const double lru = hit_rate(CachePolicyKind::kLru, 1'000, trace);
  EXPECT_GE(hit_rate(CachePolicyKind::kAdaptive, 1'000, trace), lru + 0.08);
  EXPECT_GE(hit_rate(CachePolicyKind::kS3Fifo, 1'000, trace), lru + 0.08);
  EXPECT_GE(hit_rate(CachePolicyKind::kWTinyLfu, 1'000, trace), lru + 0.08);
}

TEST(CachePolicy, AdaptiveFollowsRecencyWhereItCountsAndAFixedWindowCannot) {
  const Trace trace = bursts(300'000, 1'500);
  const double lru = hit_rate(CachePolicyKind::kLru, 1'000, trace);
  EXPECT_GE(hit_rate(CachePolicyKind::kAdaptive, 1'000, trace), lru - 0.03);
  EXPECT_LE(hit_rate(CachePolicyKind::kWTinyLfu, 1'000, trace), lru - 0.1);
}

TEST(CachePolicy, AdaptiveFindsItsWayFromALoopToAnotherPopularity) {
  Trace trace = loop(1'011, 200'000);
  const Trace later = zipf(0.9, 50'000, 200'000, 10'000);
  const double alone = hit_rate(CachePolicyKind::kAdaptive, 900, later);
  const double looping = hit_rate(CachePolicyKind::kAdaptive, 900, trace);
  trace.insert(trace.end(), later.begin(), later.end());
  EXPECT_GE(hit_rate(CachePolicyKind::kAdaptive, 900, trace), (alone + looping) / 2 - 0.02);
}

TEST(CachePolicy, EveryPolicyWorksAtTheSmallestSizes) {
  const Trace trace = zipf(1.0, 20, 20'000);
  for (const auto kind : {CachePolicyKind::kAdaptive, CachePolicyKind::kLru, CachePolicyKind::kS3Fifo,
                          CachePolicyKind::kWTinyLfu}) {
    for (std::size_t capacity = 1; capacity <= 20; ++capacity) {
      EXPECT_GT(hit_rate(kind, capacity, trace), 0.0);
    }
    EXPECT_EQ(hit_rate(kind, 20, trace), 1.0 - 20.0 / 20'000.0);
  }
}

TEST(CachePolicy, NamesAreReadBackAsThemselves) {
  for (const auto kind : {CachePolicyKind::kAdaptive, CachePolicyKind::kLru, CachePolicyKind::kS3Fifo,
                          CachePolicyKind::kWTinyLfu}) {
    EXPECT_EQ(cache_policy_from_string(to_string(kind)), kind);
  }
  EXPECT_FALSE(cache_policy_from_string("fifo").has_value());
}

TEST(GhostList, RemembersTheLatestAndForgetsTheOldest) {
  GhostList ghosts(3);
  for (const std::uint32_t hash : {1U, 2U, 3U, 4U}) {
    ghosts.push(hash);
  }
  EXPECT_FALSE(ghosts.take(1));
  EXPECT_TRUE(ghosts.take(2));
  EXPECT_FALSE(ghosts.take(2));
  EXPECT_EQ(ghosts.size(), 2U);
  ghosts.push(3);
  EXPECT_EQ(ghosts.size(), 2U) << "one place a hash";
}

TEST(HashIndex, KeepsEveryPairThroughRandomInsertionsAndRemovals) {
  std::mt19937 random(3);
  HashIndex index;
  std::unordered_map<std::uint32_t, std::uint32_t> hash_of;
  for (std::uint32_t step = 0; step < 30'000; ++step) {
    if (hash_of.empty() || random() % 5 < 3) {
      const auto hash = static_cast<std::uint32_t>(random() % 700);  // crowded: many equal hashes
      index.insert(hash, step);
      hash_of[step] = hash;
    } else {
      const auto some = hash_of.begin();
      index.erase(some->second, some->first);
      hash_of.erase(some);
    }
    if (step % 1'000 == 0) {
      index.shrink();
      for (const auto& [number, hash] : hash_of) {
        ASSERT_EQ(index.find(hash, [n = number](std::uint32_t other) { return other == n; }), number);
      }
    }
    ASSERT_EQ(index.size(), hash_of.size());
  }
}

}  // namespace
}  // namespace resilience
