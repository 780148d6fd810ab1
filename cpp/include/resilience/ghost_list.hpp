// Hashes of keys that left a cache lately: a bounded first-in-first-out memory without the entries.
//
// A ring of hashes with an index into it. A hash taken out leaves a dead place in the ring, which counts
// towards the capacity until the ring comes round.
//
// Thread-safety: none. Complexity: O(1) expected. Memory: grows to about 20 bytes per hash of capacity.
#pragma once

#include <cstddef>
#include <cstdint>

#include "resilience/hash_index.hpp"
#include "resilience/paged_vector.hpp"

namespace resilience {

class GhostList {
 public:
  explicit GhostList(std::size_t capacity) : capacity_(capacity) {}

  // Remembers a hash, forgetting the oldest when full.
  void push(std::uint32_t hash);
  // Forgets a hash; true when it was remembered.
  bool take(std::uint32_t hash) noexcept;
  // Changes how many are remembered; a ring that has wrapped, or must shrink, forgets all.
  void resize(std::size_t capacity);
  void clear();

  [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return index_.memory_bytes() + ring_.capacity() * sizeof(ring_[0]);
  }

 private:
  void forget_at(std::uint32_t position) noexcept;

  std::size_t capacity_;
  PagedVector<std::uint32_t> ring_;  // grows to capacity_, then wraps
  std::size_t next_ = 0;             // where the ring is written next, once it wraps
  HashIndex index_;                  // hash -> position in the ring
};

}  // namespace resilience
