#include "resilience/cache_policy_adaptive.hpp"

#include <algorithm>

namespace resilience {

namespace {

constexpr std::size_t kSmallestSketch = 64;

}  // namespace

TinyLfuPolicy::TinyLfuPolicy(std::size_t capacity, WindowMode mode)
    : mode_(mode),
      capacity_(capacity),
      sketch_(std::min(capacity, kSmallestSketch)),
      body_(capacity, mode, sketch_) {}

void TinyLfuPolicy::hit(Slot slot) {
  if (recording_) {
    ++hits_in_a_row_;
    record(body_.hash_of(slot), true);
  }
  body_.hit(slot);
}

void TinyLfuPolicy::insert(Slot slot, std::uint32_t hash) {
  recording_ = recording_ || body_.size() >= capacity_ / 2;
  if (recording_) {
    grow_sketch();
    hits_in_a_row_ = 0;
    record(hash, false);
  }
  body_.insert(slot, hash);
}

void TinyLfuPolicy::record(std::uint32_t hash, bool hit) {
  sketch_.increment(hash);
  // Nothing has missed for long: no loop can be running over the cache's end.
  if (hits_in_a_row_ > capacity_ || !guard_ || !guard_->samples(hash)) {
    return;
  }
  switch (guard_->observe(hash, hit)) {
    case LoopGuard::Advice::kNone:
      break;
    case LoopGuard::Advice::kHold:
      body_.hold_window(true);
      break;
    case LoopGuard::Advice::kRelease:
      body_.hold_window(false);
      body_.set_window_fraction(guard_->steered_fraction());
      break;
  }
}

void TinyLfuPolicy::grow_sketch() {
  const std::size_t wanted = std::min(capacity_, std::max(body_.size() * 2, kSmallestSketch));
  if (sketch_.capacity() < wanted && (wanted == capacity_ || sketch_.capacity() < body_.size())) {
    sketch_.resize(wanted);
  }
  if (mode_ == WindowMode::kSteered && !guard_) {
    guard_.emplace(capacity_, sketch_);
  }
}

void TinyLfuPolicy::set_capacity(std::size_t capacity) {
  if (capacity == capacity_) {
    return;
  }
  capacity_ = std::max<std::size_t>(capacity, 1);
  body_.hold_window(false);
  body_.set_capacity(capacity_);
  guard_.reset();
  recording_ = false;
  if (sketch_.capacity() > capacity_) {
    sketch_.resize(capacity_);
  }
}

void TinyLfuPolicy::clear() {
  body_.clear();
  sketch_.clear();
  guard_.reset();
  recording_ = false;
}

std::size_t TinyLfuPolicy::memory_bytes() const noexcept {
  return sketch_.memory_bytes() + body_.memory_bytes() + (guard_ ? guard_->memory_bytes() : 0);
}

}  // namespace resilience
