#include "resilience/backoff.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

InvalidArgument BackoffConfig::validate() const {
  constexpr double kYear = 365.0 * 86'400.0;
  if (auto bad = require(wait_initial >= 0.0 && wait_initial <= kYear, "wait_initial",
                         "a number of seconds in [0, 31536000]", wait_initial)) {
    return bad;
  }
  if (auto bad = require(wait_max >= 0.0 && wait_max <= kYear, "wait_max",
                         "a number of seconds in [0, 31536000]", wait_max)) {
    return bad;
  }
  return require(wait_exp_base >= 1.0 && std::isfinite(wait_exp_base), "wait_exp_base",
                 "a finite number >= 1", wait_exp_base);
}

Backoff::Backoff(const BackoffConfig& config, std::uint64_t seed) noexcept
    : initial_(static_cast<double>(nanos_from_seconds(config.wait_initial))),
      max_(static_cast<double>(nanos_from_seconds(config.wait_max))),
      base_(config.wait_exp_base),
      jitter_(config.jitter),
      random_(seed) {}

double Backoff::ceiling(std::int64_t attempt) const noexcept {
  if (initial_ == 0.0) {
    return 0.0;  // 0 * infinity would be NaN
  }
  const double grown = initial_ * std::pow(base_, static_cast<double>(attempt - 1));
  return std::min(grown, max_);  // an infinite power ends here
}

Nanos Backoff::next(std::int64_t attempt, Nanos previous) noexcept {
  const double top = ceiling(attempt);
  double wait = top;
  switch (jitter_) {
    case Jitter::kFull:
      wait = top * random_.uniform();
      break;
    case Jitter::kEqual:
      wait = top * (0.5 + 0.5 * random_.uniform());
      break;
    case Jitter::kDecorrelated: {
      const double low = std::min(initial_, max_);
      const double high = std::max(low, 3.0 * static_cast<double>(previous));
      wait = std::min(max_, low + (high - low) * random_.uniform());
      break;
    }
    case Jitter::kNone:
      break;
  }
  return static_cast<Nanos>(wait);
}

}  // namespace resilience
