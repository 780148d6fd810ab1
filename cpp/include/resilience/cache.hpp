// A bounded cache of opaque handles: an open-addressing index over slots, an eviction policy, a timer wheel.
//
// The cache never compares keys, releases a handle or reads a clock. The owner finds a slot by hash (walking
// probes and comparing keys itself, or by find() with a predicate), passes `now` in, and releases what is
// returned in Evictions after the call. A slot number is valid until the next call that may remove entries;
// version() tells whether one did.
//
// Both bounds hold after every operation: at most max_entries entries, at most max_weight of weight. An entry
// heavier than the bound is refused. Where weight is the bound that bites, the policy is told how many
// entries fit at present, within an eighth.
//
// Thread-safety: none; one owner serialises (the interpreter lock, a shard's mutex).
// Complexity: O(1), amortised where arrays grow; expiry in slices; clear() and resize() O(what leaves).
// Memory: about 80 bytes an entry with per-entry expiry and the adaptive policy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "resilience/cache_policy.hpp"
#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/evictions.hpp"
#include "resilience/hash_index.hpp"
#include "resilience/load_tokens.hpp"
#include "resilience/paged_vector.hpp"
#include "resilience/tag_index.hpp"
#include "resilience/timer_wheel.hpp"

namespace resilience {

struct CacheConfig {
  static constexpr std::size_t kMostEntries = std::size_t{1} << 30;

  std::size_t max_entries = 1024;
  std::uint64_t max_weight = UINT64_MAX;  // UINT64_MAX: weights are not counted
  Nanos ttl = kForever;                   // from insertion, unless an entry has its own
  Nanos sliding = kForever;               // from the last access; the earlier of both applies
  Nanos grace = 0;                        // how long an expired entry is kept to be served stale
  CachePolicyKind policy = CachePolicyKind::kAdaptive;
  std::uint64_t seed = 0;  // of the hash mixer

  [[nodiscard]] InvalidArgument validate() const;
};

struct CacheStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::array<std::uint64_t, kEvictionCauses> evictions{};
};

class Cache {
 public:
  // What an insertion says about its entry beside key and value.
  struct Terms {
    std::uint64_t weight = 1;
    std::optional<Nanos> ttl = {};  // from now; the cache's own when not given
    std::span<const std::uint64_t> tags = {};
  };

  // REQUIRES: config.validate().ok().
  explicit Cache(const CacheConfig& config);

  // --- Looking up -----------------------------------------------------------------------------------
  [[nodiscard]] std::uint32_t mix(std::uint64_t hash) const noexcept { return mix_hash(hash, config_.seed); }
  [[nodiscard]] const HashIndex& index() const noexcept { return index_; }
  template <typename Matches>
  [[nodiscard]] Slot find(std::uint32_t hash, Matches&& matches) const {
    return index_.find(hash, [&](Slot slot) { return matches(entries_[slot].key); });
  }
  [[nodiscard]] CacheHandle key(Slot slot) const noexcept { return entries_[slot].key; }
  [[nodiscard]] CacheHandle value(Slot slot) const noexcept { return entries_[slot].value; }
  [[nodiscard]] bool fresh(Slot slot, Nanos now) const noexcept {
    return now < entries_[slot].deadline - config_.grace;
  }
  // Kept at all: fresh, or stale within its grace.
  [[nodiscard]] bool kept(Slot slot, Nanos now) const noexcept { return now < entries_[slot].deadline; }
  // When the entry stops being fresh; kForever for one that never does.
  [[nodiscard]] Nanos expires_at(Slot slot) const noexcept;

  // Counts a hit: statistics, policy, sliding expiry.
  void hit(Slot slot, Nanos now) {
    ++stats_.hits;
    used(slot, now);
  }
  void miss() noexcept { ++stats_.misses; }
  void count_hit() noexcept { ++stats_.hits; }  // of something served without its slot
  // A use that is no read: touch, or a write over it.
  void used(Slot slot, Nanos now);

  // --- Changing ----------------------------------------------------------------------------------
  // Adds an entry whose key is not present. False, and nothing taken, when it is heavier than the bound.
  [[nodiscard]] bool insert(std::uint32_t hash, CacheHandle key, CacheHandle value, const Terms& terms,
                            Nanos now, Evictions& out);
  // Gives an entry a new value. False when that is too heavy: then the entry has been removed.
  [[nodiscard]] bool replace(Slot slot, CacheHandle value, const Terms& terms, Nanos now, Evictions& out);
  void erase(Slot slot, EvictionCause cause, Evictions& out);
  // Gives the entry a new life of `ttl` from now.
  void set_ttl(Slot slot, Nanos ttl, Nanos now);
  // Removes an entry that carries the tag; false when none does (any more).
  bool erase_tagged(std::uint64_t tag, Evictions& out);
  void clear(Evictions& out);
  void resize(std::size_t max_entries, std::uint64_t max_weight, Evictions& out);

  // Keeps expired entries longer from now on, those present included. O(n); shorter changes nothing.
  void extend_grace(Nanos grace);
  // Another weight for an entry, as when weights begin to count. The next change restores the bound.
  void weigh(Slot slot, std::uint64_t weight) { set_weight(slot, weight); }

  // --- Expiry ------------------------------------------------------------------------------------
  [[nodiscard]] bool expiry_due(Nanos now) const noexcept { return now >= wheel_.earliest(); }
  // Removes expired entries, touching at most `budget`; false when there is more to do at this `now`.
  // `exact` leaves none behind; without it the last few milliseconds' may stay for the next time.
  bool expire(Nanos now, std::size_t budget, bool exact, Evictions& out);
  [[nodiscard]] bool timed() const noexcept { return wheel_.size() != 0; }
  // expire() has nothing to do before this.
  [[nodiscard]] Nanos wheel_due() const noexcept { return wheel_.earliest(); }
  // When the first entry is to be removed, to the nanosecond; see TimerWheel::first_deadline.
  [[nodiscard]] Nanos first_deadline() noexcept { return wheel_.first_deadline(entries_); }

  // --- Loads in flight (see LoadTokens) ------------------------------------------------------------
  [[nodiscard]] LoadTokens& tokens() noexcept { return tokens_; }

  [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
  [[nodiscard]] std::uint64_t weight() const noexcept { return weight_; }
  [[nodiscard]] const CacheConfig& config() const noexcept { return config_; }
  [[nodiscard]] const CacheStats& stats() const noexcept { return stats_; }
  // Changes whenever an entry comes or goes, or the index is rebuilt.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] bool weighted() const noexcept { return config_.max_weight != UINT64_MAX; }
  // Slots run from 0 to here; held() tells which hold an entry. For walks.
  [[nodiscard]] std::size_t slots() const noexcept { return entries_.size(); }
  [[nodiscard]] bool held(Slot slot) const noexcept { return entries_[slot].value != kNoValue; }

  [[nodiscard]] std::size_t memory_bytes() const noexcept;
  // Whether index, lists, wheel and sums agree; for tests, O(n).
  [[nodiscard]] bool consistent() const;

 private:
  static constexpr CacheHandle kNoValue = 0;

  // `deadline` is when the entry is to be removed: the end of its freshness and its grace.
  struct Entry : TimerNode {
    CacheHandle key = 0;
    CacheHandle value = kNoValue;
  };

  [[nodiscard]] Slot take_slot();
  void arm(Slot slot, Nanos ttl, Nanos now);
  void slide(Slot slot, Nanos now);
  void set_deadline(Slot slot, Nanos deadline);
  void set_weight(Slot slot, std::uint64_t weight);
  // Frees a slot that the policy has given up already.
  void release(Slot slot, EvictionCause cause, Evictions& out);
  void make_room(Evictions& out);
  void follow_weight();

  CacheConfig config_;
  HashIndex index_;
  PagedVector<Entry> entries_;
  PagedVector<std::uint64_t> weights_;  // only when weighted
  PagedVector<Nanos> latest_;           // only with sliding expiry: the deadline that no use can move
  Slot free_ = kNoSlot;                 // through Entry::next
  std::unique_ptr<CachePolicy> policy_;
  TimerWheel wheel_;
  TagIndex tags_;
  LoadTokens tokens_;
  std::uint64_t weight_ = 0;
  std::size_t fitting_ = 0;  // the capacity that the policy was told
  std::uint64_t version_ = 0;
  CacheStats stats_;
};

}  // namespace resilience
