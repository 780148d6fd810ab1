#include "resilience/cache_policy_s3fifo.hpp"

#include <algorithm>

namespace resilience {

namespace {

constexpr std::uint8_t kMaxHits = 3;
constexpr std::uint8_t kHitsToMain = 2;

}  // namespace

void S3FifoPolicy::hit(Slot slot) {
  SlotNode& node = nodes_[slot];
  node.count = static_cast<std::uint8_t>(std::min<int>(node.count + 1, kMaxHits));
}

void S3FifoPolicy::insert(Slot slot, std::uint32_t hash) {
  nodes_.reach(slot);
  nodes_[slot].hash = hash;
  nodes_[slot].count = 0;
  // While the cache fills for the first time, what the small queue can't hold goes to main.
  const bool filling = !evicted_ && small_.size() >= small_capacity_;
  (ghosts_.take(hash) || filling ? main_ : small_).push_front(nodes_, slot);
}

Slot S3FifoPolicy::evict() {
  evicted_ = true;
  if (main_.size() <= main_capacity_ && !small_.empty()) {
    const Slot victim = evict_small();
    if (victim != kNoSlot) {
      return victim;
    }
  }
  return evict_main();
}

Slot S3FifoPolicy::evict_small() {
  while (!small_.empty()) {
    const Slot slot = small_.back();
    small_.remove(nodes_, slot);
    if (nodes_[slot].count < kHitsToMain) {
      ghosts_.push(nodes_[slot].hash);
      return slot;
    }
    nodes_[slot].count = 0;
    main_.push_front(nodes_, slot);
  }
  return kNoSlot;
}

Slot S3FifoPolicy::evict_main() {
  for (;;) {
    const Slot slot = main_.back();
    if (nodes_[slot].count == 0) {
      main_.remove(nodes_, slot);
      return slot;
    }
    --nodes_[slot].count;
    main_.move_to_front(nodes_, slot);
  }
}

void S3FifoPolicy::erase(Slot slot) {
  (nodes_[slot].region == small_.region() ? small_ : main_).remove(nodes_, slot);
}

void S3FifoPolicy::set_capacity(std::size_t capacity) {
  small_capacity_ = std::max<std::size_t>(capacity / 10, 1);
  main_capacity_ = capacity - std::min(capacity, small_capacity_);
  nodes_.set_limit(capacity + 1);
  ghosts_.resize(main_capacity_);
}

void S3FifoPolicy::clear() {
  small_.clear();
  main_.clear();
  nodes_.clear();
  ghosts_.clear();
  evicted_ = false;
}

}  // namespace resilience
