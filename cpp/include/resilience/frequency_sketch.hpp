// How often a key was seen lately: a count-min sketch of 4-bit counters that forgets by halving.
//
// Four rows of counters, all four of a key inside one cache line. Estimates never fall below the true recent
// count (up to 15) and may exceed it on collisions. After 10 × capacity increments every counter is
// halved; the halving runs a few words at a time, and until it has passed a word, the word is read halved, so
// no single operation pays for the whole table.
//
// Thread-safety: none. Complexity: O(1). Memory: 8 bytes per entry of capacity, rounded up to a power of 2.
// Source: Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM ToS 2017);
// the layout in blocks of one cache line follows Putze, Sanders, Singler (2007).
#pragma once

#include <cstddef>
#include <cstdint>

#include "resilience/paged_vector.hpp"

namespace resilience {

class FrequencySketch {
 public:
  static constexpr std::uint32_t kMaxCount = 15;

  explicit FrequencySketch(std::size_t capacity) { resize(capacity); }

  // Counts one sighting of a (well mixed) hash.
  void increment(std::uint32_t hash) noexcept;
  // The recent count, at most kMaxCount.
  [[nodiscard]] std::uint32_t estimate(std::uint32_t hash) const noexcept;
  // Fits the table to another capacity. Growing keeps what was counted; shrinking forgets it.
  void resize(std::size_t capacity);
  void clear() noexcept;

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return words_.capacity() * sizeof(words_[0]); }

 private:
  static constexpr std::size_t kWordsPerBlock = 8;  // one cache line
  static constexpr std::size_t kWordsPerStep = 16;  // halved with each increment while a halving runs

  [[nodiscard]] bool halving() const noexcept { return cursor_ < words_.size(); }
  void halve_word(std::size_t word) noexcept;
  void step_halving() noexcept;

  PagedVector<std::uint64_t> words_;  // 16 counters each
  std::size_t capacity_ = 0;
  std::size_t block_mask_ = 0;
  std::size_t cursor_ = 0;  // words below it are halved; at the end when no halving runs
  std::uint64_t increments_ = 0;
  std::uint64_t limit_ = 0;  // increments after which counters are halved
};

}  // namespace resilience
