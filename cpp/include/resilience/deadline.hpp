// Arithmetic on the instant by which something must be over. kForever means that there is none.
//
// Thread-safety: pure functions.
#pragma once

#include <algorithm>

#include "resilience/clock.hpp"

namespace resilience {

// The deadline of something that starts at `now` and may take `timeout`, inside an `outer` deadline:
// nothing nested outlives what is around it.
[[nodiscard]] constexpr Nanos nested_deadline(Nanos now, Nanos timeout, Nanos outer = kForever) noexcept {
  return std::min(outer, saturating_add(now, timeout));
}

// Time left, 0 once the deadline has passed, kForever without one.
[[nodiscard]] constexpr Nanos remaining(Nanos deadline, Nanos now) noexcept {
  if (deadline == kForever) {
    return kForever;
  }
  return deadline > now ? deadline - now : 0;
}

// Would something that takes `duration` from `now` on be over before the deadline?
[[nodiscard]] constexpr bool fits(Nanos deadline, Nanos now, Nanos duration) noexcept {
  return deadline == kForever || saturating_add(now, duration) < deadline;
}

}  // namespace resilience
