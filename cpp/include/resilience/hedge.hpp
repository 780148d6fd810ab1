// When a second, identical request is worth sending while the first is still out.
//
// Dean, Barroso: "The Tail at Scale" (CACM 2013): wait until the call is slower than most, then send one
// more and take whichever answers first. The delay is fixed, or a quantile of the latest successful calls;
// as a quantile it adds (1 - q) of load, and nothing is hedged before enough calls were seen. The driver's
// retry budget, if any, bounds hedges as it does retries.
//
// Thread-safety: none; callers serialise. Complexity: O(1) to record; to ask for the delay O(kRemembered)
// after each kRefresh new records, O(1) otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "resilience/clock.hpp"
#include "resilience/error.hpp"

namespace resilience {

struct HedgeConfig {
  double delay = 0.0;     // seconds, used when quantile is 0
  double quantile = 0.0;  // of recent latencies: 0.95
  std::int64_t max_hedges = 1;

  [[nodiscard]] InvalidArgument validate() const;
};

class Hedge {
 public:
  static constexpr std::size_t kRemembered = 256;  // latest calls that the quantile is taken of
  static constexpr std::size_t kNeeded = 20;       // calls before the first hedge by quantile
  static constexpr std::size_t kRefresh = 16;      // records after which the quantile is taken anew

  // REQUIRES: config.validate().ok().
  explicit Hedge(const HedgeConfig& config) noexcept
      : config_(config), delay_(nanos_from_seconds(config.delay)) {}

  // A request, hedge or not, ended well after `latency`.
  void record(Nanos latency) noexcept;
  // How long to wait before sending the next request when `sent` are out; nothing: send no more.
  [[nodiscard]] std::optional<Nanos> delay(std::int64_t sent) noexcept;

 private:
  void refresh() noexcept;

  HedgeConfig config_;
  Nanos delay_;
  std::array<Nanos, kRemembered> latencies_{};
  std::size_t recorded_ = 0;   // in all
  std::size_t refreshed_ = 0;  // recorded_ when delay_ was last taken
};

}  // namespace resilience
