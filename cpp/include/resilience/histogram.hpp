// Latency histogram with logarithmic octaves, each cut into 2^kSubBits equal parts (after HdrHistogram).
//
// A percentile is exact to within half a part: 12.5 % of the value with kSubBits = 2, 3.1 % with 4. Durations
// below 2^kUnitBits ns fall into the first part, those above 2^(kUnitBits + kOctaves + kSubBits) ns into the
// last. When a counter is full all are halved, so that recent durations weigh more; small counters make that
// a feature. Recording costs a handful of instructions and never allocates. Thread-safety: none; the owner
// locks.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "resilience/clock.hpp"

namespace resilience {

template <unsigned kUnitBits, unsigned kOctaves, unsigned kSubBits, typename Counter>
class Histogram {
 public:
  static constexpr std::size_t kSize = (static_cast<std::size_t>(kOctaves) + 1) << kSubBits;

  void record(Nanos duration) noexcept {
    Counter& counter = counters_[index_of(duration)];
    if (counter == std::numeric_limits<Counter>::max()) {
      halve();
    }
    ++counter;
  }

  // The duration below which a fraction `q` in [0, 1] of the recorded ones lie, 0 when there are none.
  [[nodiscard]] Nanos percentile(double q) const noexcept {
    const std::uint64_t total = count();
    if (total == 0) {
      return 0;
    }
    const double wanted = q * static_cast<double>(total);
    std::uint64_t seen = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < kSize; ++i) {
      if (counters_[i] == 0) {
        continue;
      }
      seen += counters_[i];
      last = i;
      if (static_cast<double>(seen) >= wanted) {
        break;
      }
    }
    return middle_of(last);
  }

  [[nodiscard]] std::uint64_t count() const noexcept {
    std::uint64_t total = 0;
    for (const Counter counter : counters_) {
      total += counter;
    }
    return total;
  }

  void clear() noexcept { counters_.fill(0); }

  // Adds another histogram's counts; a counter that would overflow stays at its maximum.
  template <typename Other>
  void merge(const Histogram<kUnitBits, kOctaves, kSubBits, Other>& other) noexcept {
    for (std::size_t i = 0; i < kSize; ++i) {
      const auto sum = static_cast<std::uint64_t>(counters_[i]) + other.at(i);
      constexpr auto limit = static_cast<std::uint64_t>(std::numeric_limits<Counter>::max());
      counters_[i] = static_cast<Counter>(sum < limit ? sum : limit);
    }
  }

  [[nodiscard]] Counter at(std::size_t index) const noexcept { return counters_[index]; }
  // The smallest duration that falls into part `index`.
  [[nodiscard]] static Nanos lower_bound(std::size_t index) noexcept {
    const auto octave = static_cast<unsigned>(index >> kSubBits);
    const auto part = static_cast<std::uint64_t>(index & kMask);
    const std::uint64_t units = octave == 0 ? part : ((1ULL << kSubBits) | part) << (octave - 1);
    return static_cast<Nanos>(units << kUnitBits);
  }

 private:
  static constexpr std::size_t kMask = (1U << kSubBits) - 1;

  static std::size_t index_of(Nanos duration) noexcept {
    const std::uint64_t units = duration <= 0 ? 0 : static_cast<std::uint64_t>(duration) >> kUnitBits;
    if (units <= kMask) {
      return static_cast<std::size_t>(units);
    }
    const auto shift = static_cast<unsigned>(std::bit_width(units)) - 1 - kSubBits;
    const std::size_t index = (static_cast<std::size_t>(shift + 1) << kSubBits) |
                              static_cast<std::size_t>((units >> shift) & kMask);
    return index < kSize ? index : kSize - 1;
  }
  static Nanos middle_of(std::size_t index) noexcept {
    return index + 1 == kSize ? lower_bound(index) : (lower_bound(index) + lower_bound(index + 1)) / 2;
  }
  void halve() noexcept {
    for (Counter& counter : counters_) {
      counter = static_cast<Counter>(counter / 2);
    }
  }

  std::array<Counter, kSize> counters_{};
};

// Small and weighted to the recent past, for one of many breakers: 1 µs to 137 s in 208 bytes.
using CompactHistogram = Histogram<10, 25, 2, std::uint16_t>;
// Fine and lasting, for one of a few services: 128 ns to 10 minutes.
using LatencyHistogram = Histogram<7, 28, 4, std::uint64_t>;

}  // namespace resilience
