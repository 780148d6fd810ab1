// A cache beside a model of it: every operation is done on both, and every promise checked after each.
//
// The model doesn't know the policies. It knows what was put in, and follows what the cache says left; what
// left must have been there, with that value and for a cause that holds.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include "resilience/cache.hpp"

namespace resilience::testing {

class CacheModel {
 public:
  explicit CacheModel(const CacheConfig& config) : cache(config) {}

  void get(std::uint64_t key) {
    const Slot slot = find(key);
    const auto known = entries_.find(key);
    require((slot != kNoSlot) == (known != entries_.end()), "a key is present in one only");
    if (slot == kNoSlot || !cache.fresh(slot, now)) {
      require(slot == kNoSlot || now >= known->second.fresh_until, "a fresh entry was not served");
      cache.miss();
    } else {
      require(cache.value(slot) == known->second.value, "a wrong value was served");
      require(now < known->second.fresh_until, "an expired value was served");
      cache.hit(slot, now);
      slide(known->second);
    }
    check();
  }

  void set(std::uint64_t key, std::uint64_t weight, Nanos ttl, std::vector<std::uint64_t> tags) {
    const CacheHandle value = ++last_value_;
    const Cache::Terms terms{weight, ttl, tags};
    Evictions out;
    const Slot slot = find(key);
    const auto known = entries_.find(key);
    const Entry fresh{value, weight, saturating_add(now, ttl), 0, tags};
    bool taken = false;
    if (slot == kNoSlot) {
      entries_[key] = fresh;
      taken = cache.insert(hash(key), key, value, terms, now, out);
    } else {
      replaced_ = known->second.value;
      known->second = fresh;
      taken = cache.replace(slot, value, terms, now, out);
    }
    require(taken == (!cache.weighted() || weight <= cache.config().max_weight), "refused, or not, wrongly");
    if (!taken) {
      entries_.erase(key);
    } else {
      slide(entries_[key]);
    }
    follow(out);
  }

  void erase(std::uint64_t key) {
    const Slot slot = find(key);
    if (slot != kNoSlot) {
      Evictions out;
      cache.erase(slot, EvictionCause::kExplicit, out);
      follow(out);
    }
  }

  void erase_tagged(std::uint64_t tag) {
    Evictions out;
    while (cache.erase_tagged(tag, out)) {
    }
    follow(out);
    for (const auto& [key, entry] : entries_) {
      require(std::find(entry.tags.begin(), entry.tags.end(), tag) == entry.tags.end(),
              "a tagged entry stayed");
    }
  }

  void advance(Nanos by, std::size_t budget, bool exact) {
    now = saturating_add(now, by);
    Evictions out;
    const bool done = cache.expire(now, budget, exact, out);
    require(out.size() <= budget, "expiry went over its budget");
    follow(out);
    if (done && exact) {
      for (const auto& [key, entry] : entries_) {
        require(now < removal(entry), "an expired entry stayed after exact expiry");
      }
      require(first_removal() == cache.first_deadline(), "the first deadline is another one");
    }
  }

  void resize(std::size_t max_entries, std::uint64_t max_weight) {
    Evictions out;
    cache.resize(max_entries, cache.weighted() ? max_weight : UINT64_MAX, out);
    follow(out);
  }

  void clear() {
    Evictions out;
    cache.clear(out);
    follow(out);
    require(entries_.empty() && cache.size() == 0, "something stayed after clear");
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  Cache cache;
  Nanos now = 1;

 private:
  struct Entry {
    CacheHandle value = 0;
    std::uint64_t weight = 0;
    Nanos latest = kForever;
    Nanos fresh_until = 0;
    std::vector<std::uint64_t> tags;
  };

  static void require(bool holds, const char* what) {
    if (!holds) {
      throw std::logic_error(what);
    }
  }
  [[nodiscard]] std::uint32_t hash(std::uint64_t key) const { return cache.mix(key / 2); }  // equal for pairs
  [[nodiscard]] Slot find(std::uint64_t key) const {
    return cache.find(hash(key), [key](CacheHandle handle) { return handle == key; });
  }
  void slide(Entry& entry) const {
    entry.fresh_until = std::min(entry.latest, saturating_add(now, cache.config().sliding));
  }
  [[nodiscard]] Nanos removal(const Entry& entry) const {
    return saturating_add(entry.fresh_until, cache.config().grace);
  }
  [[nodiscard]] Nanos first_removal() const {
    Nanos first = kForever;
    for (const auto& [key, entry] : entries_) {
      first = std::min(first, removal(entry));
    }
    return first;
  }

  void follow(const Evictions& out) {
    for (std::size_t at = 0; at < out.size(); ++at) {
      const Evicted& evicted = out[at];
      if (evicted.cause == EvictionCause::kReplaced) {
        require(evicted.value == replaced_, "another value than the replaced one left");
        continue;
      }
      const auto known = entries_.find(evicted.key);
      require(known != entries_.end() && known->second.value == evicted.value, "what left was not there");
      require(evicted.cause != EvictionCause::kExpired || now >= removal(known->second), "expired too early");
      entries_.erase(known);
    }
    check();
  }

  void check() const {
    require(cache.size() == entries_.size(), "sizes differ");
    require(cache.consistent(), "the cache contradicts itself");
    std::uint64_t weight = 0;
    for (const auto& [key, entry] : entries_) {
      weight += entry.weight;
    }
    require(!cache.weighted() || cache.weight() == weight, "weights differ");
  }

  std::map<std::uint64_t, Entry> entries_;
  CacheHandle last_value_ = 0;
  CacheHandle replaced_ = 0;
};

// Runs one operation chosen by the bytes that `next` yields.
template <typename NextByte>
void run_operation(CacheModel& model, NextByte&& next) {
  const std::uint64_t key = next() % 64U;
  const auto pick = next();
  if (pick < 96) {
    model.get(key);
  } else if (pick < 190) {
    const Nanos ttl = pick % 3 == 0 ? kForever : Nanos{1} + (Nanos{next()} << (next() % 32));
    std::vector<std::uint64_t> tags(pick % 4, next() % 5U);
    if (!tags.empty()) {
      tags.back() = 7;
    }
    model.set(key, next() % 80U, ttl, tags);
  } else if (pick < 205) {
    model.erase(key);
  } else if (pick < 240) {
    model.advance(Nanos{next()} << (next() % 34), next() % 16U, pick % 2 == 0);
  } else if (pick < 247) {
    model.erase_tagged(next() % 9U);
  } else if (pick < 254) {
    model.resize(1 + next() % 40U, 1 + next() * 4U);
  } else {
    model.clear();
  }
}

}  // namespace resilience::testing
