// A hierarchical timer wheel over an array of nodes: arms and disarms in O(1) whatever the number armed.
//
// Seven levels of 64 buckets; a bucket of the first level spans a tick of 2^23 ns (8.4 ms), of the next one
// 64 ticks, and so on, beyond the range of Nanos. A deadline falls due once its tick is over: up to a tick
// late, never early (expire_exactly: neither). Bit maps of the occupied buckets let time jump any distance at
// once.
//
// The nodes are the owner's, linked by 32-bit indices: `Nodes` is anything whose operator[] gives a
// TimerNode&.
//
// Thread-safety: none. Complexity: arm and disarm O(1); each node is moved down at most once a level.
// Source: Varghese, Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "resilience/clock.hpp"

namespace resilience {

struct TimerNode {
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint32_t kBucketMark = 0x8000'0000U;  // `previous` is a bucket, not a node

  Nanos deadline = kForever;
  std::uint32_t previous = kNone;  // kNone while not armed
  std::uint32_t next = kNone;
};

class TimerWheel {
 public:
  static constexpr Nanos kTick = Nanos{1} << 23;

  TimerWheel() { buckets_.fill(TimerNode::kNone); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // expire() has nothing to do before this; kForever when none is armed. A cheap test before calling it.
  [[nodiscard]] Nanos earliest() const noexcept { return earliest_; }

  // Arms a node for its own deadline. REQUIRES: not armed; index < 2^31.
  template <typename Nodes>
  void arm(Nodes& nodes, std::uint32_t index) {
    const std::uint64_t tick = place(nodes, index);
    earliest_ = std::min(earliest_, start_of(tick + 1));
    ++size_;
  }

  // Disarms a node; nothing when it isn't armed.
  template <typename Nodes>
  void disarm(Nodes& nodes, std::uint32_t index) noexcept {
    if (nodes[index].previous != TimerNode::kNone) {
      unlink(nodes, index);
      --size_;
    }
  }

  // Moves time to `now` and hands each node whose tick is over to `expired(index)`, disarmed. Touches at most
  // `budget` nodes and decrements it; false when there is more to do. `expired` may arm a node
  // again, for a later tick.
  template <typename Nodes, typename Expired>
  bool expire(Nodes& nodes, Nanos now, std::size_t& budget, Expired&& expired) {
    const std::uint64_t target = tick_of(now);
    for (std::uint64_t due = next_occupied(); due < target; due = next_occupied()) {
      current_ = due;
      if (!cascade(nodes, budget) || !drain(nodes, budget, kForever, expired)) {
        return false;
      }
      ++current_;
    }
    current_ = std::max(current_, target);
    earliest_ = size_ == 0 ? kForever : start_of(next_occupied() + 1);
    return true;
  }

  // expire(), and those of the tick now running whose very deadline has passed: exact, but it looks at every
  // node of that tick each time.
  template <typename Nodes, typename Expired>
  bool expire_exactly(Nodes& nodes, Nanos now, std::size_t& budget, Expired&& expired) {
    return expire(nodes, now, budget, expired) && cascade(nodes, budget) &&
           drain(nodes, budget, now, expired);
  }

  // The first deadline of all armed nodes, to the nanosecond. O(nodes of one bucket).
  template <typename Nodes>
  [[nodiscard]] Nanos first_deadline(Nodes& nodes) const noexcept {
    Nanos first = kForever;
    for (unsigned level = 0; level < kLevels; ++level) {
      const std::uint64_t ahead = occupied_[level] >> slot_at(level, current_);
      if (ahead != 0) {
        const std::size_t slot = slot_at(level, current_) + static_cast<unsigned>(std::countr_zero(ahead));
        for (std::uint32_t at = buckets_[level * kBuckets + slot]; at != TimerNode::kNone;
             at = nodes[at].next) {
          first = std::min(first, nodes[at].deadline);
        }
      }
    }
    return first;
  }

  void clear() noexcept {
    buckets_.fill(TimerNode::kNone);
    occupied_.fill(0);
    size_ = 0;
    earliest_ = kForever;
  }

 private:
  static constexpr unsigned kLevels = 7;
  static constexpr unsigned kBits = 6;
  static constexpr std::uint64_t kBuckets = 1U << kBits;
  static constexpr unsigned kTickBits = 23;

  static constexpr std::uint64_t tick_of(Nanos at) noexcept {
    return static_cast<std::uint64_t>(std::max<Nanos>(at, 0)) >> kTickBits;
  }
  static constexpr Nanos start_of(std::uint64_t tick) noexcept {
    return tick >= (std::uint64_t{1} << (63 - kTickBits)) ? kForever : static_cast<Nanos>(tick << kTickBits);
  }
  static constexpr std::size_t slot_at(unsigned level, std::uint64_t tick) noexcept {
    return (tick >> (level * kBits)) & (kBuckets - 1);
  }

  // A node goes to the highest level at which its tick still differs from the current one.
  [[nodiscard]] std::uint32_t bucket_for(std::uint64_t tick) const noexcept {
    const std::uint64_t differs = tick ^ current_;
    const unsigned highest = differs == 0 ? 0 : static_cast<unsigned>(std::bit_width(differs) - 1);
    const unsigned level = std::min(highest / kBits, kLevels - 1);
    return static_cast<std::uint32_t>(level * kBuckets + slot_at(level, tick));
  }

  // The first tick from current_ on at which a bucket has to be looked at. Level by level: the buckets after
  // the current one of a level all come before anything of the level above.
  [[nodiscard]] std::uint64_t next_occupied() const noexcept {
    std::uint64_t best = UINT64_MAX;
    for (unsigned level = 0; level < kLevels; ++level) {
      const std::uint64_t ahead = occupied_[level] >> slot_at(level, current_);
      if (ahead != 0) {
        const std::uint64_t span = std::uint64_t{level} * kBits;
        const std::uint64_t base = (current_ >> span) + static_cast<unsigned>(std::countr_zero(ahead));
        best = std::min(best, std::max(base << span, current_));
      }
    }
    return best;
  }

  // Brings the nodes of the higher levels' current buckets down to where they now belong.
  template <typename Nodes>
  bool cascade(Nodes& nodes, std::size_t& budget) noexcept {
    for (unsigned level = kLevels - 1; level > 0; --level) {
      const std::size_t bucket = level * kBuckets + slot_at(level, current_);
      while (buckets_[bucket] != TimerNode::kNone) {
        if (budget == 0) {
          return false;
        }
        --budget;
        const std::uint32_t index = buckets_[bucket];
        unlink(nodes, index);
        place(nodes, index);
      }
    }
    return true;
  }

  // Hands over the current bucket's nodes with a deadline up to `last`.
  template <typename Nodes, typename Expired>
  bool drain(Nodes& nodes, std::size_t& budget, Nanos last, Expired& expired) {
    std::uint32_t index = buckets_[slot_at(0, current_)];
    while (index != TimerNode::kNone) {
      if (budget == 0) {
        return false;
      }
      --budget;
      const std::uint32_t following = nodes[index].next;
      if (nodes[index].deadline <= last) {
        unlink(nodes, index);
        --size_;
        expired(index);
      }
      index = following;
    }
    return true;
  }

  template <typename Nodes>
  std::uint64_t place(Nodes& nodes, std::uint32_t index) noexcept {
    const std::uint64_t tick = std::max(tick_of(nodes[index].deadline), current_);
    link(nodes, index, bucket_for(tick));
    return tick;
  }

  template <typename Nodes>
  void link(Nodes& nodes, std::uint32_t index, std::uint32_t bucket) noexcept {
    TimerNode& node = nodes[index];
    node.previous = TimerNode::kBucketMark | bucket;
    node.next = buckets_[bucket];
    if (node.next != TimerNode::kNone) {
      TimerNode& follower = nodes[node.next];
      follower.previous = index;
    }
    buckets_[bucket] = index;
    occupied_[bucket / kBuckets] |= std::uint64_t{1} << (bucket % kBuckets);
  }

  template <typename Nodes>
  void unlink(Nodes& nodes, std::uint32_t index) noexcept {
    TimerNode& node = nodes[index];
    if (node.next != TimerNode::kNone) {
      TimerNode& follower = nodes[node.next];
      follower.previous = node.previous;
    }
    if ((node.previous & TimerNode::kBucketMark) != 0) {
      const std::uint32_t bucket = node.previous & ~TimerNode::kBucketMark;
      buckets_[bucket] = node.next;
      if (node.next == TimerNode::kNone) {
        occupied_[bucket / kBuckets] &= ~(std::uint64_t{1} << (bucket % kBuckets));
      }
    } else {
      TimerNode& leader = nodes[node.previous];
      leader.next = node.next;
    }
    node.previous = node.next = TimerNode::kNone;
  }

  std::array<std::uint32_t, kLevels * kBuckets> buckets_{};  // heads of lists
  std::array<std::uint64_t, kLevels> occupied_{};
  std::uint64_t current_ = 0;  // the first tick not yet drained
  std::size_t size_ = 0;
  Nanos earliest_ = kForever;
};

}  // namespace resilience
