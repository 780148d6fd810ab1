#include "resilience/loop_guard.hpp"

#include <algorithm>

namespace resilience {

namespace {

constexpr std::uint32_t kMaxRate = 64;
constexpr std::size_t kSmallestShadow = 128;
constexpr double kHorizonInCapacities = 4.0;
constexpr double kEnterLead = 0.08;
constexpr double kLeaveLead = 0.02;
constexpr std::uint64_t kFewestSamples = 16;

std::uint32_t rate_for(std::size_t capacity) {
  std::uint32_t rate = 1;
  while (rate < kMaxRate && capacity / (std::size_t{2} * rate) >= kSmallestShadow) {
    rate *= 2;
  }
  return rate;
}

std::size_t shadow_capacity(std::size_t capacity, std::uint32_t rate) noexcept {
  return std::max<std::size_t>(capacity / rate, 1);
}

}  // namespace

ShadowCache::ShadowCache(std::size_t capacity, WindowMode mode, const FrequencySketch& sketch)
    : policy_(capacity, mode, sketch) {}

bool ShadowCache::access(std::uint32_t hash) {
  const Slot known = index_.find(hash);
  if (known != HashIndex::kNone) {
    policy_.hit(known);
    return true;
  }
  auto slot = static_cast<Slot>(policy_.size());
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  }
  policy_.insert(slot, hash);
  index_.insert(hash, slot);
  while (policy_.size() > policy_.capacity()) {
    const Slot victim = policy_.evict();
    index_.erase(policy_.hash_of(victim), victim);
    free_.push_back(victim);
  }
  policy_.settle();
  return false;
}

std::size_t ShadowCache::memory_bytes() const noexcept {
  return policy_.memory_bytes() + index_.memory_bytes() + free_.capacity() * sizeof(Slot);
}

LoopGuard::LoopGuard(std::size_t capacity, const FrequencySketch& sketch)
    : rate_(rate_for(capacity)),
      decay_(1.0 - 1.0 / (kHorizonInCapacities * static_cast<double>(shadow_capacity(capacity, rate_)))),
      steered_(shadow_capacity(capacity, rate_), WindowMode::kSteered, sketch),
      fixed_(shadow_capacity(capacity, rate_), WindowMode::kFixed, sketch) {}

LoopGuard::Advice LoopGuard::observe(std::uint32_t hash, bool hit) {
  const auto add = [this](double& sum, bool one) { sum = sum * decay_ + (one ? 1.0 : 0.0); };
  add(samples_, true);
  add(real_hits_, hit);
  add(steered_hits_, steered_.access(hash));
  add(fixed_hits_, fixed_.access(hash));
  if (++seen_ <= kFewestSamples) {
    return Advice::kNone;
  }
  if (!holding_ && fixed_hits_ - std::min(steered_hits_, real_hits_) > kEnterLead * samples_) {
    holding_ = true;
    return Advice::kHold;
  }
  if (holding_ && steered_hits_ - fixed_hits_ > kLeaveLead * samples_) {
    holding_ = false;
    return Advice::kRelease;
  }
  return Advice::kNone;
}

}  // namespace resilience
