// Which entries of a cache carry which tags, both ways, so that a tag's entries can be dropped together.
//
// Each pair of entry and tag is one link in two lists: the tag's (doubly linked) and the entry's (singly).
// Tags are 64-bit hashes. Nothing is kept for entries or tags without the other.
//
// Thread-safety: none. Complexity: O(tags of the entry) to attach and detach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "resilience/cache_policy.hpp"
#include "resilience/paged_vector.hpp"

namespace resilience {

class TagIndex {
 public:
  // Gives the slot these tags. REQUIRES: it has none.
  void attach(Slot slot, std::span<const std::uint64_t> tags);
  // Takes the slot's tags away; nothing when it has none.
  void detach(Slot slot) noexcept;
  // Some slot that carries the tag, or kNoSlot.
  [[nodiscard]] Slot any(std::uint64_t tag) const;
  void clear();

  [[nodiscard]] bool empty() const noexcept { return first_tag_.empty(); }
  [[nodiscard]] std::size_t tags() const noexcept { return first_entry_.size(); }
  [[nodiscard]] std::size_t entries() const noexcept { return first_tag_.size(); }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Link {
    std::uint64_t tag;
    Slot slot;
    std::uint32_t previous_of_tag;
    std::uint32_t next_of_tag;
    std::uint32_t next_of_slot;
  };

  [[nodiscard]] std::uint32_t take_link();

  PagedVector<Link> links_;
  std::uint32_t free_ = kNone;                                    // through next_of_slot
  std::unordered_map<std::uint64_t, std::uint32_t> first_entry_;  // tag -> link
  std::unordered_map<Slot, std::uint32_t> first_tag_;             // slot -> link
};

}  // namespace resilience
