// Small deciding parts of the allocator: what resources there are, when a smaller size is believed, how long
// a unit takes to start.
//
// Thread-safety: none; one owner. O(1) each.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

namespace resilience {

enum class Resource : std::uint8_t { kWorkers, kConnections, kCacheSizeMb };
inline constexpr std::array<std::string_view, 3> kResourceNames{"workers", "connections", "cache_size_mb"};
using Sizes = std::array<std::int64_t, kResourceNames.size()>;  // by Resource

[[nodiscard]] constexpr std::size_t index_of(Resource resource) noexcept {
  return static_cast<std::size_t>(resource);
}

// Larger at once, smaller only when it has been smaller for `hold` proposals, and then to the largest of
// them.
class Hysteresis {
 public:
  explicit Hysteresis(std::size_t hold) noexcept : hold_(hold) {}

  [[nodiscard]] std::int64_t settle(std::int64_t current, std::int64_t proposed) {
    if (proposed >= current) {
      lower_.clear();
      return proposed;
    }
    lower_.push_back(proposed);
    if (lower_.size() > hold_) {
      lower_.pop_front();
    }
    return lower_.size() == hold_ ? *std::ranges::max_element(lower_) : current;
  }

 private:
  std::size_t hold_;
  std::deque<std::int64_t> lower_;
};

// The start delay to plan for: the longest of the last measured starts, `assumed` until there is one.
class StartDelay {
 public:
  explicit StartDelay(double assumed) noexcept : assumed_(assumed) {}

  void measured(double seconds) {
    starts_.push_back(seconds);
    if (starts_.size() > kKept) {
      starts_.pop_front();
    }
  }
  [[nodiscard]] double seconds() const noexcept {
    return starts_.empty() ? assumed_ : *std::ranges::max_element(starts_);
  }

 private:
  static constexpr std::size_t kKept = 8;
  double assumed_;
  std::deque<double> starts_;
};

// The documented rules of `similar_periods`. They only act when confidence >= 0.5, and within `limits`.
struct SimilarPeriodsInput {
  double expected_rpm = 0.0;
  double expected_connections = 0.0;
  double confidence = 0.0;
  bool increasing = false;
};
[[nodiscard]] Sizes similar_periods_sizes(const SimilarPeriodsInput& input, const Sizes& current,
                                          const Sizes& limits) noexcept;

}  // namespace resilience
