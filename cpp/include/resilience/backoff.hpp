// How long to wait between the attempts of one call.
//
// The ceiling grows geometrically, min(wait_max, wait_initial * wait_exp_base^(attempt - 1)), and jitter
// spreads callers below it, so that those who failed together don't come back together. Names and
// formulas as in Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
//   full           U(0, ceiling)
//   equal          ceiling / 2 + U(0, ceiling / 2)
//   decorrelated   min(wait_max, U(wait_initial, 3 * previous wait))
//   none           ceiling
// The power saturates instead of overflowing, whatever the attempt.
//
// Thread-safety: none; callers serialise. Complexity: O(1).
#pragma once

#include <cstdint>

#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/random.hpp"

namespace resilience {

enum class Jitter : std::uint8_t { kFull, kEqual, kDecorrelated, kNone };

struct BackoffConfig {
  double wait_initial = 0.1;  // seconds
  double wait_max = 5.0;      // seconds
  double wait_exp_base = 2.0;
  Jitter jitter = Jitter::kFull;

  [[nodiscard]] InvalidArgument validate() const;
};

class Backoff {
 public:
  // REQUIRES: config.validate().ok(). Equal seeds give equal waits.
  Backoff(const BackoffConfig& config, std::uint64_t seed) noexcept;

  // The wait after the `attempt`-th attempt (from 1), when `previous` was the wait before it (0: none).
  [[nodiscard]] Nanos next(std::int64_t attempt, Nanos previous) noexcept;

 private:
  [[nodiscard]] double ceiling(std::int64_t attempt) const noexcept;

  double initial_;  // nanoseconds; doubles, since they are scaled by a random factor anyway
  double max_;
  double base_;
  Jitter jitter_;
  SplitMix64 random_;
};

}  // namespace resilience
