// What a service has answered: requests by method, route template and status, and the last minute of them.
//
// Memory is bounded: series are keyed by template, never by path, unknown methods are one, and a minute is a
// ring of one-second slots with a histogram each. A percentile is off by 6 % at most.
//
// Thread-safety: none; the owner locks. Complexity: O(1) a request; a summary reads the ring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "resilience/clock.hpp"
#include "resilience/histogram.hpp"

namespace resilience {

struct MinuteSummary {
  Nanos span = 0;  // a minute, or the time since the beginning when that is shorter; at least a second
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  Nanos total = 0;  // what all of them took together
  Nanos p50 = 0;    // 0 without requests
  Nanos p99 = 0;
};

// The last 60 seconds of something that takes time and may fail.
class MinuteWindow {
 public:
  explicit MinuteWindow(Nanos born) : born_(born), ring_(kSeconds) {}

  void observe(Nanos now, Nanos duration, bool failed) noexcept {
    const std::int64_t at = now / kNanosPerSecond;
    Second& second = ring_[static_cast<std::size_t>(at) % kSeconds];
    if (second.at != at) {
      second = Second{};
      second.at = at;
    }
    second.total += duration;
    second.errors += failed ? 1U : 0U;
    second.durations.record(duration);
  }
  [[nodiscard]] MinuteSummary summary(Nanos now) const noexcept;
  [[nodiscard]] Nanos born() const noexcept { return born_; }

 private:
  static constexpr std::size_t kSeconds = 60;
  // 1 us to 9 minutes, in parts of an eighth of an octave.
  template <typename Counter>
  using Durations = Histogram<10, 26, 3, Counter>;

  struct Second {
    std::int64_t at = -1;  // which second of the clock; -1: none yet
    std::uint32_t errors = 0;
    Nanos total = 0;
    Durations<std::uint32_t> durations;
  };

  Nanos born_;
  std::vector<Second> ring_;
};

class RequestMetrics {
 public:
  // Upper bounds of the buckets of a series; what is longer falls into one more.
  static constexpr std::array<Nanos, 14> kBounds{
      500'000,     1'000'000,   2'000'000,   5'000'000,     10'000'000,    25'000'000,    50'000'000,
      100'000'000, 250'000'000, 500'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};
  static constexpr std::string_view kUnmatched = "<unmatched>";  // the route of a request that none served

  struct Key {
    std::string method;
    std::string route;
    int status;
  };
  // Requests to one route with one method and one status.
  struct Series {
    bool failed = false;
    bool probe = false;
    Nanos total = 0;
    std::array<std::uint64_t, kBounds.size() + 1> buckets{};
  };

  explicit RequestMetrics(Nanos born) : minute_(born), probes_(born) {}

  // What an orchestrator asks, cheap and always to be answered.
  [[nodiscard]] static bool is_probe(std::string_view path) noexcept;

  // One request has ended. `status` is 0 when none was answered.
  void observe(Nanos now, std::string_view method, std::string_view route, int status, Nanos duration);

  [[nodiscard]] MinuteSummary last_minute(Nanos now) const noexcept { return minute_.summary(now); }
  [[nodiscard]] MinuteSummary probes_of_last_minute(Nanos now) const noexcept { return probes_.summary(now); }
  [[nodiscard]] Nanos age(Nanos now) const noexcept { return now - minute_.born(); }
  // Since the beginning: how many requests, and how long all of them took together.
  [[nodiscard]] std::uint64_t requests() const noexcept;
  [[nodiscard]] Nanos total() const noexcept;

  // Calls visit(const Key&, const Series&) for each, in no particular order.
  template <typename Visit>
  void each(Visit&& visit) const {
    for (const auto& [key, series] : series_) {
      visit(key, series);
    }
  }

  // In progress now.
  std::int64_t active = 0;
  std::int64_t websockets = 0;

 private:
  struct KeyView {
    std::string_view method;
    std::string_view route;
    int status;
  };
  static KeyView view(const Key& key) noexcept { return {key.method, key.route, key.status}; }
  static KeyView view(const KeyView& key) noexcept { return key; }
  struct Hash {
    using is_transparent = void;
    template <typename AnyKey>
    std::size_t operator()(const AnyKey& key) const noexcept {
      const KeyView k = view(key);
      const std::size_t route = std::hash<std::string_view>{}(k.route);
      return route ^ (static_cast<std::size_t>(k.status) << 8U) ^ (k.method.size() << 4U) ^
             static_cast<std::size_t>(k.method.front());
    }
  };
  struct Same {
    using is_transparent = void;
    template <typename One, typename Other>
    bool operator()(const One& one, const Other& other) const noexcept {
      const KeyView a = view(one);
      const KeyView b = view(other);
      return a.status == b.status && a.method == b.method && a.route == b.route;
    }
  };

  Series& series_of(const KeyView& key);

  MinuteWindow minute_;
  MinuteWindow probes_;
  std::unordered_map<Key, Series, Hash, Same> series_;
};

}  // namespace resilience
