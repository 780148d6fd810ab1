// One cache for many native threads: shards chosen by hash, each a Cache behind its own lock.
//
// A hit writes (recency, frequency, counters), so readers can't share a shard; with many more shards than
// threads they seldom meet. Both bounds are divided over the shards: the sums hold, each shard's share is its
// own bound. The Python cache has no use for this: there the interpreter lock serialises already.
//
// Thread-safety: all members may be called from any thread. `use` runs under the shard's lock: it must not
// call back, and releases what left (Evictions) after this returns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "resilience/cache.hpp"

namespace resilience {

class ShardedCache {
 public:
  // REQUIRES: config.validate().ok(); shards >= 1. Fewer shards are made where entries are few.
  ShardedCache(const CacheConfig& config, std::size_t shards) {
    const std::size_t count = std::clamp<std::size_t>(shards, 1, config.max_entries);
    for (std::size_t at = 0; at < count; ++at) {
      CacheConfig share = config;
      share.max_entries = config.max_entries / count + (at < config.max_entries % count ? 1 : 0);
      if (config.max_weight != UINT64_MAX) {
        share.max_weight = std::max<std::uint64_t>(config.max_weight / count, 1);
      }
      shards_.push_back(std::make_unique<Shard>(share));
    }
  }

  // Calls use(cache, mixed_hash) with the shard of this hash locked; returns what it returns.
  template <typename Use>
  auto with(std::uint64_t hash, Use&& use) {
    const std::uint64_t spread = hash * 0x9E3779B97F4A7C15ULL;  // other bits than the shard's own index uses
    Shard& shard = *shards_[(spread >> 32) * shards_.size() >> 32];
    const std::lock_guard lock(shard.mutex);
    return use(shard.cache, shard.cache.mix(hash));
  }
  template <typename Use>
  void for_each(Use&& use) {
    for (const auto& shard : shards_) {
      const std::lock_guard lock(shard->mutex);
      use(shard->cache);
    }
  }
  [[nodiscard]] std::size_t shards() const noexcept { return shards_.size(); }

 private:
  struct alignas(64) Shard {
    explicit Shard(const CacheConfig& config) : cache(config) {}
    std::mutex mutex;
    Cache cache;  // guarded by mutex
  };
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace resilience
