#include "resilience/loop_lag.hpp"

#include <algorithm>
#include <utility>

namespace resilience {

bool LoopLag::ping(Nanos now) {
  const std::lock_guard lock(mutex_);
  if (sent_ != kNone) {
    return false;
  }
  sent_ = now;
  return true;
}

void LoopLag::pong(Nanos now) {
  const std::lock_guard lock(mutex_);
  if (sent_ == kNone) {
    return;
  }
  last_ = std::max<Nanos>(0, now - std::exchange(sent_, kNone));
  max_ = std::max(max_, last_);
  histogram_.record(last_);
}

Nanos LoopLag::current(Nanos now) const {
  const std::lock_guard lock(mutex_);
  return std::max(last_, waiting(now));
}

LoopLag::Snapshot LoopLag::snapshot(Nanos now) const {
  const std::lock_guard lock(mutex_);
  return {std::max(last_, waiting(now)), histogram_.percentile(0.5), histogram_.percentile(0.99),
          std::max(max_, waiting(now)), histogram_.count()};
}

}  // namespace resilience
