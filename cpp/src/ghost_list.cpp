#include "resilience/ghost_list.hpp"

namespace resilience {

void GhostList::push(std::uint32_t hash) {
  if (capacity_ == 0) {
    return;
  }
  take(hash);  // at most one place a hash, the newest
  if (ring_.size() < capacity_) {
    index_.insert(hash, static_cast<std::uint32_t>(ring_.size()));
    ring_.push_back(hash);
    return;
  }
  const auto position = static_cast<std::uint32_t>(next_);
  forget_at(position);
  ring_[position] = hash;
  index_.insert(hash, position);
  next_ = next_ + 1 == ring_.size() ? 0 : next_ + 1;
}

bool GhostList::take(std::uint32_t hash) noexcept {
  const std::uint32_t position = index_.find(hash);
  if (position == HashIndex::kNone) {
    return false;
  }
  index_.erase(hash, position);
  return true;
}

void GhostList::resize(std::size_t capacity) {
  if (capacity == capacity_) {
    return;
  }
  if (capacity < ring_.size() || next_ != 0) {  // the order of a ring that wrapped would be lost anyway
    clear();
  }
  capacity_ = capacity;
}

void GhostList::clear() {
  ring_ = {};
  index_.clear();
  next_ = 0;
}

void GhostList::forget_at(std::uint32_t position) noexcept {
  const std::uint32_t hash = ring_[position];
  if (index_.find(hash, [position](std::uint32_t at) { return at == position; }) == position) {
    index_.erase(hash, position);
  }
}

}  // namespace resilience
