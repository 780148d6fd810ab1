#include "resilience/hedge.hpp"

#include <algorithm>

namespace resilience {

InvalidArgument HedgeConfig::validate() const {
  if (quantile == 0.0) {
    if (auto bad = require(delay >= 0.0 && delay <= 31'536'000.0, "delay",
                           "a number of seconds in [0, 31536000] or a percentile such as \"p95\"", delay)) {
      return bad;
    }
  } else if (auto bad = require(quantile > 0.0 && quantile < 1.0, "delay",
                                R"(a percentile between "p1" and "p99.9")", quantile)) {
    return bad;
  }
  return require(max_hedges >= 1 && max_hedges <= 100, "max_hedges", "an integer in [1, 100]",
                 static_cast<double>(max_hedges));
}

void Hedge::record(Nanos latency) noexcept {
  if (config_.quantile > 0.0) {
    latencies_[recorded_ % kRemembered] = latency;
    ++recorded_;
  }
}

std::optional<Nanos> Hedge::delay(std::int64_t sent) noexcept {
  if (sent > config_.max_hedges) {
    return std::nullopt;
  }
  if (config_.quantile > 0.0) {
    if (recorded_ < kNeeded) {
      return std::nullopt;
    }
    if (refreshed_ == 0 || recorded_ - refreshed_ >= kRefresh) {
      refresh();
    }
  }
  return delay_;
}

void Hedge::refresh() noexcept {
  const std::size_t count = std::min(recorded_, kRemembered);
  auto sorted = latencies_;
  const auto rank = static_cast<std::size_t>(config_.quantile * static_cast<double>(count));
  auto* const nth = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(rank, count - 1));
  std::nth_element(sorted.begin(), nth, sorted.begin() + static_cast<std::ptrdiff_t>(count));
  delay_ = *nth;
  refreshed_ = recorded_;
}

}  // namespace resilience
