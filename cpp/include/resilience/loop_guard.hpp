// Tells a cache when a loop longer than its window is running through it, and when that is over.
//
// A loop a little larger than the cache defeats every policy that lets newcomers in: the steered window
// grows, and each entry leaves just before its return. Two small shadow caches run over a sample of the keys
// (one in R, hashes only): one steers its window, the other keeps it at 1 %. Where the fixed one is clearly
// ahead of the steered one or of the real cache, the window is to be held small; where the steered one is
// ahead again, released. Sampling keys and the capacity by the same factor keeps hit rates: Waldspurger et
// al., "Cache Modeling and Optimization using Miniature Simulations" (USENIX ATC 2017).
//
// Thread-safety: none. Complexity: O(1), one in R keys does the work of two small caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "resilience/frequency_sketch.hpp"
#include "resilience/hash_index.hpp"
#include "resilience/segmented_window.hpp"

namespace resilience {

// A cache of hashes without entries, to see what a policy would have hit.
class ShadowCache {
 public:
  ShadowCache(std::size_t capacity, WindowMode mode, const FrequencySketch& sketch);

  // Looks the hash up and lets it in on a miss; true on a hit.
  bool access(std::uint32_t hash);
  [[nodiscard]] double window_fraction() const noexcept { return policy_.window_fraction(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  SegmentedWindow policy_;
  HashIndex index_;
  std::vector<Slot> free_;
};

class LoopGuard {
 public:
  enum class Advice : std::uint8_t { kNone, kHold, kRelease };

  LoopGuard(std::size_t capacity, const FrequencySketch& sketch);

  [[nodiscard]] bool samples(std::uint32_t hash) const noexcept {
    return (hash >> kSampleShift) % rate_ == 0;
  }
  // Follows one sampled access of the real cache, a hit there or not. REQUIRES: samples(hash).
  Advice observe(std::uint32_t hash, bool hit);
  // Where the steered shadow has its window, as a fraction of the capacity.
  [[nodiscard]] double steered_fraction() const noexcept { return steered_.window_fraction(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return steered_.memory_bytes() + fixed_.memory_bytes();
  }

 private:
  static constexpr unsigned kSampleShift = 20;  // bits that neither the index nor the sketch starts with

  std::uint32_t rate_;
  double decay_;
  ShadowCache steered_;
  ShadowCache fixed_;
  double samples_ = 0.0;  // decayed sums
  double real_hits_ = 0.0;
  double steered_hits_ = 0.0;
  double fixed_hits_ = 0.0;
  std::uint64_t seen_ = 0;
  bool holding_ = false;
};

}  // namespace resilience
