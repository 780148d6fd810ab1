// Which entry of a cache leaves when it is full.
//
// A policy sees slots (small numbers that the cache gives its entries) and 32-bit hashes, never keys. The
// cache tells it what happens; it answers who leaves. The policies:
//   lru         the least recently used
//   s3fifo      three FIFO queues (Yang et al., SOSP 2023)
//   w_tinylfu   a 1 % LRU window before a segmented LRU guarded by frequency (Einziger et al., 2017)
//   adaptive    w_tinylfu whose window is steered by two ghost lists and guarded against loops
//
// Thread-safety: none; the owner of the cache serialises. Complexity: O(1) a call, amortised in s3fifo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace resilience {

using Slot = std::uint32_t;
inline constexpr Slot kNoSlot = UINT32_MAX;

enum class CachePolicyKind : std::uint8_t { kAdaptive, kLru, kS3Fifo, kWTinyLfu };

[[nodiscard]] std::string_view to_string(CachePolicyKind kind) noexcept;
[[nodiscard]] std::optional<CachePolicyKind> cache_policy_from_string(std::string_view name) noexcept;

class CachePolicy {
 public:
  CachePolicy() = default;
  CachePolicy(const CachePolicy&) = delete;
  CachePolicy& operator=(const CachePolicy&) = delete;
  virtual ~CachePolicy() = default;

  // An entry was read or written again. REQUIRES: the slot is held.
  virtual void hit(Slot slot) = 0;
  // A new entry took the slot. The owner evicts what is now too much, then calls settle().
  virtual void insert(Slot slot, std::uint32_t hash) = 0;
  // Chooses an entry to leave and gives its slot up. REQUIRES: size() > 0.
  [[nodiscard]] virtual Slot evict() = 0;
  // Puts the inner lists in order after an insertion and its evictions; bounded work.
  virtual void settle() {}
  // An entry left for another reason than room. REQUIRES: the slot is held.
  virtual void erase(Slot slot) = 0;
  // The number of entries that fit, where that changes: by resizing, or as weights change.
  virtual void set_capacity(std::size_t capacity) = 0;
  virtual void clear() = 0;

  // The hash that the slot was inserted with. REQUIRES: the slot is held, or was until this evict().
  [[nodiscard]] virtual std::uint32_t hash_of(Slot slot) const noexcept = 0;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
  [[nodiscard]] virtual std::size_t memory_bytes() const noexcept = 0;
  // Whether the inner lists agree with each other; for tests, O(n).
  [[nodiscard]] virtual bool consistent() const = 0;
};

// REQUIRES: capacity >= 1.
[[nodiscard]] std::unique_ptr<CachePolicy> make_cache_policy(CachePolicyKind kind, std::size_t capacity);

}  // namespace resilience
