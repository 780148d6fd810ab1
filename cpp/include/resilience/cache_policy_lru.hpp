// The least recently used entry leaves: one list, moved to the front on each hit. See cache_policy.hpp.
#pragma once

#include "resilience/cache_policy.hpp"
#include "resilience/slot_lists.hpp"

namespace resilience {

class LruPolicy final : public CachePolicy {
 public:
  explicit LruPolicy(std::size_t capacity) { set_capacity(capacity); }

  void hit(Slot slot) override { list_.move_to_front(nodes_, slot); }
  void insert(Slot slot, std::uint32_t hash) override {
    nodes_.reach(slot);
    nodes_[slot].hash = hash;
    list_.push_front(nodes_, slot);
  }
  [[nodiscard]] Slot evict() override {
    const Slot victim = list_.back();
    list_.remove(nodes_, victim);
    return victim;
  }
  void erase(Slot slot) override { list_.remove(nodes_, slot); }
  void set_capacity(std::size_t capacity) override { nodes_.set_limit(capacity + 1); }
  void clear() override {
    list_.clear();
    nodes_.clear();
  }
  [[nodiscard]] std::uint32_t hash_of(Slot slot) const noexcept override { return nodes_[slot].hash; }
  [[nodiscard]] std::size_t size() const noexcept override { return list_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept override { return nodes_.memory_bytes(); }
  [[nodiscard]] bool consistent() const override { return list_.consistent(nodes_); }

 private:
  SlotNodes nodes_;
  SlotList list_{1};
};

}  // namespace resilience
