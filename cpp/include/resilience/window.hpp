// Sliding windows over call outcomes: the last n calls, or the last n seconds.
//
// Both answer in O(1) a call whatever their length, and their memory is fixed at construction.
// Thread-safety: none; the owner locks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "resilience/clock.hpp"

namespace resilience {

struct WindowCounts {
  std::uint32_t calls = 0;
  std::uint32_t failures = 0;
  std::uint32_t slow = 0;
  std::uint32_t cancelled = 0;  // neither successes nor failures; in here because they were slow

  WindowCounts& operator+=(const WindowCounts& other) noexcept {
    calls += other.calls;
    failures += other.failures;
    slow += other.slow;
    cancelled += other.cancelled;
    return *this;
  }
  WindowCounts& operator-=(const WindowCounts& other) noexcept {
    calls -= other.calls;
    failures -= other.failures;
    slow -= other.slow;
    cancelled -= other.cancelled;
    return *this;
  }
};

// The last `length` nanoseconds in kBuckets equal buckets. An outcome leaves together with its bucket: at an
// age above length · (1 − 1/kBuckets) and at the latest at age `length`. Buckets are laid from the first
// outcome that enters an empty window, so a burst leaves exactly `length` after it came.
// Counters are of 16 bits until a bucket needs more: most windows of many never do.
class TimeWindow {
 public:
  static constexpr std::size_t kBuckets = 20;

  // REQUIRES: length >= kBuckets nanoseconds.
  explicit TimeWindow(Nanos length) noexcept : width_(length / static_cast<Nanos>(kBuckets)) {}

  // True when the outcome is the first of its bucket.
  bool add(Nanos now, bool failure, bool slow, bool cancelled = false) noexcept {
    const bool first = now >= bucket_end_;
    if (first) {
      advance(now);
    }
    const WindowCounts one{1, failure ? 1U : 0U, slow ? 1U : 0U, cancelled ? 1U : 0U};
    if (wide_ == nullptr && narrow_[cursor_].calls != UINT16_MAX) [[likely]] {
      narrow_[cursor_] = narrow_[cursor_].with(one);
    } else {
      widen()[cursor_] += one;
    }
    total_ += one;
    return first;
  }
  // Counts of what is still inside at `now`; drops what is not.
  const WindowCounts& expire(Nanos now) noexcept {
    if (now >= bucket_end_ && total_.calls != 0) {
      advance(now);
    }
    return total_;
  }
  // The same as expire(), without changing anything.
  [[nodiscard]] WindowCounts counts(Nanos now) const noexcept;
  void clear() noexcept;
  // Memory beyond the object itself.
  [[nodiscard]] std::size_t own_bytes() const noexcept { return wide_ ? sizeof(Wide) : 0; }

 private:
  struct Narrow {
    std::uint16_t calls = 0;
    std::uint16_t failures = 0;
    std::uint16_t slow = 0;
    std::uint16_t cancelled = 0;

    [[nodiscard]] Narrow with(const WindowCounts& more) const noexcept {
      return {static_cast<std::uint16_t>(calls + more.calls),
              static_cast<std::uint16_t>(failures + more.failures),
              static_cast<std::uint16_t>(slow + more.slow),
              static_cast<std::uint16_t>(cancelled + more.cancelled)};
    }
  };
  using Wide = std::array<WindowCounts, kBuckets>;

  void advance(Nanos now) noexcept;
  [[nodiscard]] WindowCounts bucket(std::size_t index) const noexcept;
  Wide& widen() noexcept;

  Nanos width_;
  Nanos bucket_end_ = INT64_MIN;  // end of the bucket under the cursor
  std::size_t cursor_ = 0;
  WindowCounts total_;
  std::array<Narrow, kBuckets> narrow_{};
  std::unique_ptr<Wide> wide_;  // instead of narrow_, once a bucket has been full
};

// The last `size` calls in a ring of flags, one byte a call.
class CountWindow {
 public:
  explicit CountWindow(std::size_t size) : ring_(size) {}

  void add(bool failure, bool slow, bool cancelled = false) noexcept {
    std::uint8_t& slot = ring_[next_];
    if (filled_ == ring_.size()) {
      total_ -= decode(slot);
    } else {
      ++filled_;
    }
    slot = static_cast<std::uint8_t>((failure ? 1U : 0U) | (slow ? 2U : 0U) | (cancelled ? 4U : 0U));
    total_ += decode(slot);
    next_ = next_ + 1 == ring_.size() ? 0 : next_ + 1;
  }
  [[nodiscard]] const WindowCounts& counts() const noexcept { return total_; }
  void clear() noexcept {
    filled_ = 0;
    next_ = 0;
    total_ = {};
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return sizeof(*this) + ring_.capacity(); }

 private:
  static WindowCounts decode(std::uint8_t slot) noexcept {
    return {1, slot & 1U, (slot >> 1U) & 1U, (slot >> 2U) & 1U};
  }

  std::vector<std::uint8_t> ring_;
  std::size_t filled_ = 0;
  std::size_t next_ = 0;
  WindowCounts total_;
};

}  // namespace resilience
