// S3-FIFO (see cache_policy.hpp): a small queue for newcomers, a main queue of second chances, a ghost queue.
//
// A hit only counts (up to 3). Newcomers enter the small queue (10 %), or the main one when the ghost queue
// remembers them; at the small queue's end those hit at least twice move to main, the others leave as ghosts.
// At the main queue's end an entry that was hit goes round again with one hit less.
// Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023).
#pragma once

#include "resilience/cache_policy.hpp"
#include "resilience/ghost_list.hpp"
#include "resilience/slot_lists.hpp"

namespace resilience {

class S3FifoPolicy final : public CachePolicy {
 public:
  explicit S3FifoPolicy(std::size_t capacity) : ghosts_(0) { set_capacity(capacity); }

  void hit(Slot slot) override;
  void insert(Slot slot, std::uint32_t hash) override;
  [[nodiscard]] Slot evict() override;
  void erase(Slot slot) override;
  void set_capacity(std::size_t capacity) override;
  void clear() override;

  [[nodiscard]] std::uint32_t hash_of(Slot slot) const noexcept override { return nodes_[slot].hash; }
  [[nodiscard]] std::size_t size() const noexcept override { return small_.size() + main_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept override {
    return nodes_.memory_bytes() + ghosts_.memory_bytes();
  }
  [[nodiscard]] bool consistent() const override {
    return small_.consistent(nodes_) && main_.consistent(nodes_) && ghosts_.size() <= ghosts_.capacity();
  }

 private:
  [[nodiscard]] Slot evict_small();
  [[nodiscard]] Slot evict_main();

  std::size_t small_capacity_ = 1;
  std::size_t main_capacity_ = 0;
  bool evicted_ = false;
  SlotNodes nodes_;
  SlotList small_{1};
  SlotList main_{2};
  GhostList ghosts_;
};

}  // namespace resilience
