// The nodes that eviction policies thread their lists through: one per slot, linked by 32-bit indices, so a
// list operation touches 16 bytes an entry and no allocator.
//
// Thread-safety: none. Complexity: O(1), growth amortised.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "resilience/cache_policy.hpp"
#include "resilience/paged_vector.hpp"

namespace resilience {

struct SlotNode {
  std::uint32_t hash = 0;
  Slot previous = kNoSlot;
  Slot next = kNoSlot;
  std::uint8_t region = 0;  // which list holds it; 0 is none
  std::uint8_t count = 0;   // hits, as the policy counts them
};

class SlotNodes {
 public:
  SlotNode& operator[](Slot slot) noexcept { return nodes_[slot]; }
  const SlotNode& operator[](Slot slot) const noexcept { return nodes_[slot]; }

  // Makes room for `slot`. Grows by half and not by doubling: memory is counted here.
  void reach(Slot slot) {
    if (slot >= nodes_.size()) {
      if (slot >= nodes_.capacity()) {
        nodes_.reserve(std::max<std::size_t>(slot + std::size_t{1}, std::min(limit_, nodes_.size() * 3 / 2)));
      }
      nodes_.resize(slot + std::size_t{1});
    }
  }
  // No more slots than this are expected; growth stops there.
  void set_limit(std::size_t limit) noexcept { limit_ = limit; }
  void clear() { nodes_ = {}; }
  [[nodiscard]] std::size_t reached() const noexcept { return nodes_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return nodes_.capacity() * sizeof(SlotNode); }

 private:
  PagedVector<SlotNode> nodes_;
  std::size_t limit_ = SIZE_MAX;
};

// A doubly linked list through the nodes; the front is the newest end.
class SlotList {
 public:
  explicit SlotList(std::uint8_t region) noexcept : region_(region) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] Slot front() const noexcept { return front_; }
  [[nodiscard]] Slot back() const noexcept { return back_; }
  [[nodiscard]] std::uint8_t region() const noexcept { return region_; }

  void push_front(SlotNodes& nodes, Slot slot) noexcept {
    SlotNode& node = nodes[slot];
    node.region = region_;
    node.previous = kNoSlot;
    node.next = front_;
    (front_ == kNoSlot ? back_ : nodes[front_].previous) = slot;
    front_ = slot;
    ++size_;
  }
  void remove(SlotNodes& nodes, Slot slot) noexcept {
    SlotNode& node = nodes[slot];
    (node.previous == kNoSlot ? front_ : nodes[node.previous].next) = node.next;
    (node.next == kNoSlot ? back_ : nodes[node.next].previous) = node.previous;
    node.region = 0;
    --size_;
  }
  void move_to_front(SlotNodes& nodes, Slot slot) noexcept {
    if (front_ != slot) {
      remove(nodes, slot);
      push_front(nodes, slot);
    }
  }
  void clear() noexcept {
    front_ = back_ = kNoSlot;
    size_ = 0;
  }
  // Whether the links run both ways through exactly size() nodes of this region; for tests.
  [[nodiscard]] bool consistent(const SlotNodes& nodes) const {
    std::size_t seen = 0;
    Slot previous = kNoSlot;
    for (Slot slot = front_; slot != kNoSlot; previous = slot, slot = nodes[slot].next) {
      if (nodes[slot].region != region_ || nodes[slot].previous != previous || ++seen > size_) {
        return false;
      }
    }
    return seen == size_ && previous == back_;
  }

 private:
  std::uint8_t region_;
  Slot front_ = kNoSlot;
  Slot back_ = kNoSlot;
  std::size_t size_ = 0;
};

}  // namespace resilience
