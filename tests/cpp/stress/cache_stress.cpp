// Many threads on one sharded cache: nothing is lost or released twice, and throughput does not fall.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "resilience/sharded_cache.hpp"

namespace resilience {
namespace {

CacheConfig config_for(std::size_t entries) {
  CacheConfig config;
  config.max_entries = entries;
  config.ttl = kNanosPerSecond;
  return config;
}

bool get_or_put(ShardedCache& cache, std::uint64_t key, Nanos now, std::uint64_t& left) {
  Evictions out;
  const bool hit = cache.with(key, [&](Cache& shard, std::uint32_t hash) {
    const Slot slot = shard.find(hash, [key](CacheHandle other) { return other == key; });
    if (slot != kNoSlot && shard.fresh(slot, now)) {
      shard.hit(slot, now);
      return true;
    }
    shard.miss();
    if (slot != kNoSlot) {
      shard.erase(slot, EvictionCause::kExpired, out);
    }
    EXPECT_TRUE(shard.insert(hash, key, key + 1, {}, now, out));
    (void)shard.expire(now, 8, false, out);
    return false;
  });
  left += out.size();
  return hit;
}

TEST(ShardedCacheStress, EveryEntryPutInLeavesExactlyOnceOrIsStillThere) {
  ShardedCache cache(config_for(2'000), 16);
  constexpr int kThreads = 4;
  constexpr int kOperations = 60'000;
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> left{0};
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < kThreads; ++id) {
    threads.emplace_back([&, id] {
      std::mt19937_64 random(id);
      std::uint64_t mine = 0;
      std::uint64_t my_left = 0;
      for (int i = 0; i < kOperations; ++i) {
        mine += get_or_put(cache, 1 + random() % 6'000, Nanos{i} * 100'000, my_left) ? 1U : 0U;
      }
      hits += mine;
      left += my_left;
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  std::uint64_t counted_hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t held = 0;
  cache.for_each([&](Cache& shard) {
    EXPECT_TRUE(shard.consistent());
    counted_hits += shard.stats().hits;
    misses += shard.stats().misses;
    held += shard.size();
  });
  EXPECT_EQ(counted_hits, hits.load());
  EXPECT_EQ(counted_hits + misses, std::uint64_t{kThreads} * kOperations);
  EXPECT_EQ(misses, left.load() + held);
}

double million_hits_a_second(unsigned threads) {
  constexpr int kHits = 1'000'000;
  ShardedCache cache(config_for(100'000), 64);
  std::uint64_t ignored = 0;
  for (std::uint64_t key = 1; key <= 20'000; ++key) {
    get_or_put(cache, key, 0, ignored);
  }
  std::vector<std::thread> workers;
  const auto start = std::chrono::steady_clock::now();
  for (unsigned id = 0; id < threads; ++id) {
    workers.emplace_back([&, id] {
      std::uint64_t left = 0;
      std::uint64_t key = id * 7'919U;
      for (int i = 0; i < kHits; ++i) {
        key = (key * 25'214'903'917ULL + 11) % 20'000;
        get_or_put(cache, key + 1, 1, left);
      }
    });
  }
  for (auto& worker : workers) {
    worker.join();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(threads) * kHits / took.count() / 1e6;
}

TEST(ShardedCacheStress, PrintsThroughputAtOneTwoAndFourThreads) {
  std::vector<double> best(5, 0.0);
  for (int round = 0; round < 3; ++round) {
    for (const unsigned threads : {1U, 2U, 4U}) {
      best[threads] = std::max(best[threads], million_hits_a_second(threads));
    }
  }
  for (const unsigned threads : {1U, 2U, 4U}) {
    std::printf("cache hits, %u thread(s): %.1f M/s (%.2f of one)\n", threads, best[threads],
                best[threads] / best[1]);
    EXPECT_GT(best[threads], 0.0);
  }
}

}  // namespace
}  // namespace resilience
