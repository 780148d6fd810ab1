// An open-addressing index from 32-bit hashes to 32-bit numbers, with linear probing and backward-shift
// deletion, so it holds no tombstones. Equal hashes may occur more than once: the caller's predicate says
// which number is meant. Hashes must be well mixed already (mix_hash).
//
// Thread-safety: none. Complexity: O(1) expected; growing doubles, so insertion is amortised.
// Source: Knuth, TAOCP vol. 3, 6.4, algorithm R.
#pragma once

#include <cstddef>
#include <cstdint>

#include "resilience/paged_vector.hpp"

namespace resilience {

// Spreads any 64-bit hash over 32 bits, differently for each seed (two rounds of a multiplicative mixer).
[[nodiscard]] constexpr std::uint32_t mix_hash(std::uint64_t hash, std::uint64_t seed) noexcept {
  hash ^= seed;
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93ULL;
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93ULL;
  return static_cast<std::uint32_t>(hash >> 32);
}

class HashIndex {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  HashIndex() : buckets_(kSmallest) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return buckets_.capacity() * sizeof(Bucket); }

  // A walk over the numbers stored under one hash. Any change of the index ends the walk's validity.
  [[nodiscard]] std::size_t probe_start(std::uint32_t hash) const noexcept { return hash & mask(); }
  // The next number under `hash` at or after `position`, which moves past it; kNone at the end.
  [[nodiscard]] std::uint32_t probe_next(std::uint32_t hash, std::size_t& position) const noexcept {
    for (;; position = (position + 1) & mask()) {
      const Bucket& bucket = buckets_[position];
      if (bucket.number == kNone) {
        return kNone;
      }
      if (bucket.hash == hash) {
        position = (position + 1) & mask();
        return bucket.number;
      }
    }
  }

  // The first number under `hash` that `matches` accepts, or kNone.
  template <typename Matches>
  [[nodiscard]] std::uint32_t find(std::uint32_t hash, Matches&& matches) const {
    std::size_t position = probe_start(hash);
    for (;;) {
      const std::uint32_t number = probe_next(hash, position);
      if (number == kNone || matches(number)) {
        return number;
      }
    }
  }
  [[nodiscard]] std::uint32_t find(std::uint32_t hash) const noexcept {
    return find(hash, [](std::uint32_t) { return true; });
  }

  void insert(std::uint32_t hash, std::uint32_t number);
  // Removes that pair. REQUIRES: it is present.
  void erase(std::uint32_t hash, std::uint32_t number) noexcept;
  // Gives `number` of that pair a new value. REQUIRES: the pair is present.
  void update(std::uint32_t hash, std::uint32_t number, std::uint32_t replacement) noexcept;
  // Empties the index and returns its memory.
  void clear();
  // Returns the memory that the present size does not need.
  void shrink();

 private:
  struct Bucket {
    std::uint32_t hash = 0;
    std::uint32_t number = kNone;
  };
  static constexpr std::size_t kSmallest = 16;

  [[nodiscard]] std::size_t mask() const noexcept { return buckets_.size() - 1; }
  [[nodiscard]] std::size_t position_of(std::uint32_t hash, std::uint32_t number) const noexcept;
  void place(Bucket bucket) noexcept;
  void rebuild(std::size_t bucket_count);

  PagedVector<Bucket> buckets_;
  std::size_t size_ = 0;
};

}  // namespace resilience
