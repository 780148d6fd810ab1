#include "resilience/cache.hpp"

#include <algorithm>
#include <cstdlib>

namespace resilience {

namespace {

// Weight-bound caches tell the policy how many entries fit, but not each time that number moves a little.
constexpr std::size_t kFitTolerance = 8;

template <typename T>
void reach(PagedVector<T>& items, std::size_t slot, std::size_t limit) {
  if (slot >= items.capacity()) {  // by half, and no further than needed: memory is counted here
    items.reserve(std::max(slot + 1, std::min(limit, items.size() * 3 / 2)));
  }
  if (slot >= items.size()) {
    items.resize(slot + 1);
  }
}

}  // namespace

InvalidArgument CacheConfig::validate() const {
  if (max_entries < 1 || max_entries > kMostEntries) {
    return require(false, "max_entries", "an integer from 1 to 2**30", static_cast<double>(max_entries));
  }
  if (max_weight < 1) {
    return require(false, "max_bytes", "an integer >= 1, or None", static_cast<double>(max_weight));
  }
  if (ttl <= 0) {
    return require(false, "ttl", "a number of seconds > 0, or None", seconds_from_nanos(ttl));
  }
  if (sliding <= 0) {
    return require(false, "sliding", "a number of seconds > 0, or None", seconds_from_nanos(sliding));
  }
  return require(grace >= 0, "grace", "a number of seconds >= 0", seconds_from_nanos(grace));
}

Cache::Cache(const CacheConfig& config)
    : config_(config),
      policy_(make_cache_policy(config.policy, config.max_entries)),
      fitting_(config.max_entries) {}

Nanos Cache::expires_at(Slot slot) const noexcept {
  const Nanos deadline = entries_[slot].deadline;
  return deadline == kForever ? kForever : deadline - config_.grace;
}

void Cache::used(Slot slot, Nanos now) {
  policy_->hit(slot);
  if (config_.sliding != kForever && fresh(slot, now)) {
    slide(slot, now);
  }
}

bool Cache::insert(std::uint32_t hash, CacheHandle key, CacheHandle value, const Terms& terms, Nanos now,
                   Evictions& out) {
  if (weighted() && terms.weight > config_.max_weight) {
    return false;
  }
  const Slot slot = take_slot();
  entries_[slot].key = key;
  entries_[slot].value = value;
  index_.insert(hash, slot);
  ++version_;
  set_weight(slot, terms.weight);
  arm(slot, terms.ttl.value_or(config_.ttl), now);
  tags_.attach(slot, terms.tags);
  policy_->insert(slot, hash);
  make_room(out);
  policy_->settle();
  return true;
}

bool Cache::replace(Slot slot, CacheHandle value, const Terms& terms, Nanos now, Evictions& out) {
  if (weighted() && terms.weight > config_.max_weight) {
    erase(slot, EvictionCause::kReplaced, out);
    return false;
  }
  ++stats_.evictions[static_cast<std::size_t>(EvictionCause::kReplaced)];
  out.push({0, entries_[slot].value, EvictionCause::kReplaced});
  entries_[slot].value = value;
  set_weight(slot, terms.weight);
  arm(slot, terms.ttl.value_or(config_.ttl), now);
  tags_.detach(slot);
  tags_.attach(slot, terms.tags);
  policy_->hit(slot);
  make_room(out);
  return true;
}

void Cache::erase(Slot slot, EvictionCause cause, Evictions& out) {
  index_.erase(policy_->hash_of(slot), slot);
  policy_->erase(slot);
  release(slot, cause, out);
}

void Cache::set_ttl(Slot slot, Nanos ttl, Nanos now) { arm(slot, ttl, now); }

bool Cache::erase_tagged(std::uint64_t tag, Evictions& out) {
  const Slot slot = tags_.any(tag);
  if (slot == kNoSlot) {
    return false;
  }
  erase(slot, EvictionCause::kExplicit, out);
  return true;
}

void Cache::clear(Evictions& out) {
  for (Slot slot = 0; slot < entries_.size(); ++slot) {
    if (held(slot)) {
      ++stats_.evictions[static_cast<std::size_t>(EvictionCause::kCleared)];
      out.push({entries_[slot].key, entries_[slot].value, EvictionCause::kCleared});
    }
  }
  index_.clear();
  entries_ = {};
  weights_ = {};
  latest_ = {};
  free_ = kNoSlot;
  wheel_.clear();
  tags_.clear();
  policy_->clear();
  policy_->set_capacity(config_.max_entries);
  fitting_ = config_.max_entries;
  weight_ = 0;
  ++version_;
}

void Cache::resize(std::size_t max_entries, std::uint64_t max_weight, Evictions& out) {
  config_.max_entries = max_entries;
  config_.max_weight = max_weight;
  fitting_ = max_entries;
  policy_->set_capacity(max_entries);
  make_room(out);
  policy_->settle();
  index_.shrink();
  ++version_;
}

void Cache::extend_grace(Nanos grace) {
  const Nanos more = grace - config_.grace;
  if (more <= 0) {
    return;
  }
  config_.grace = grace;
  for (Slot slot = 0; slot < entries_.size(); ++slot) {
    if (held(slot) && entries_[slot].deadline != kForever) {
      set_deadline(slot, saturating_add(entries_[slot].deadline, more));
    }
  }
  for (Nanos& latest : latest_) {
    latest = saturating_add(latest, more);
  }
}

bool Cache::expire(Nanos now, std::size_t budget, bool exact, Evictions& out) {
  const auto expired = [&](Slot slot) { erase(slot, EvictionCause::kExpired, out); };
  return exact ? wheel_.expire_exactly(entries_, now, budget, expired)
               : wheel_.expire(entries_, now, budget, expired);
}

std::size_t Cache::memory_bytes() const noexcept {
  return sizeof(*this) + index_.memory_bytes() + entries_.capacity() * sizeof(Entry) +
         weights_.capacity() * sizeof(std::uint64_t) + latest_.capacity() * sizeof(Nanos) +
         policy_->memory_bytes();
}

bool Cache::consistent() const {
  std::size_t held_slots = 0;
  std::size_t armed = 0;
  std::uint64_t weight = 0;
  for (Slot slot = 0; slot < entries_.size(); ++slot) {
    if (!held(slot)) {
      continue;
    }
    ++held_slots;
    armed += entries_[slot].previous != TimerNode::kNone ? 1U : 0U;
    weight += weighted() ? weights_[slot] : 0;
    const std::uint32_t hash = policy_->hash_of(slot);
    if (index_.find(hash, [slot](Slot other) { return other == slot; }) != slot ||
        (entries_[slot].deadline == kForever) != (entries_[slot].previous == TimerNode::kNone)) {
      return false;
    }
  }
  return held_slots == size() && armed == wheel_.size() && (!weighted() || weight == weight_) &&
         policy_->size() == size() && policy_->consistent() && size() <= config_.max_entries &&
         tags_.entries() <= size() && (!weighted() || weight_ <= config_.max_weight);
}

Slot Cache::take_slot() {
  if (free_ != kNoSlot) {
    const Slot slot = free_;
    free_ = entries_[slot].next;
    entries_[slot].next = TimerNode::kNone;
    return slot;
  }
  const std::size_t slot = entries_.size();
  reach(entries_, slot, config_.max_entries + 1);
  return static_cast<Slot>(slot);
}

void Cache::arm(Slot slot, Nanos ttl, Nanos now) {
  const Nanos deadline = saturating_add(saturating_add(now, ttl), config_.grace);
  if (config_.sliding == kForever) {
    set_deadline(slot, deadline);
    return;
  }
  reach(latest_, slot, config_.max_entries + 1);
  latest_[slot] = deadline;
  slide(slot, now);
}

void Cache::slide(Slot slot, Nanos now) {
  const Nanos idle = saturating_add(saturating_add(now, config_.sliding), config_.grace);
  set_deadline(slot, std::min(latest_[slot], idle));
}

void Cache::set_deadline(Slot slot, Nanos deadline) {
  wheel_.disarm(entries_, slot);
  entries_[slot].deadline = deadline;
  if (deadline != kForever) {
    wheel_.arm(entries_, slot);
  }
}

void Cache::set_weight(Slot slot, std::uint64_t weight) {
  if (weighted() || !weights_.empty()) {
    reach(weights_, slot, config_.max_entries + 1);
    weight_ += weight - weights_[slot];  // a free slot weighs 0
    weights_[slot] = weight;
  }
}

void Cache::release(Slot slot, EvictionCause cause, Evictions& out) {
  Entry& entry = entries_[slot];
  wheel_.disarm(entries_, slot);
  tags_.detach(slot);
  set_weight(slot, 0);
  out.push({entry.key, entry.value, cause});
  ++stats_.evictions[static_cast<std::size_t>(cause)];
  ++version_;
  entry = Entry{};
  entry.next = free_;
  free_ = slot;
}

void Cache::make_room(Evictions& out) {
  bool too_heavy = false;
  while (size() > config_.max_entries || (weighted() && weight_ > config_.max_weight)) {
    too_heavy = too_heavy || size() <= config_.max_entries;
    const Slot victim = policy_->evict();
    index_.erase(policy_->hash_of(victim), victim);
    release(victim, EvictionCause::kCapacity, out);
  }
  if (too_heavy) {
    follow_weight();
  }
}

void Cache::follow_weight() {
  const std::size_t tolerance = std::max(kFitTolerance, fitting_ / kFitTolerance);
  const std::size_t off = size() > fitting_ ? size() - fitting_ : fitting_ - size();
  if (off > tolerance) {
    fitting_ = std::max<std::size_t>(size(), 1);
    policy_->set_capacity(fitting_);
  }
}

}  // namespace resilience
