#include "resilience/arrival_rate.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {
constexpr double kMemorySeconds = seconds_from_nanos(ArrivalRate::kMemory);
// What the first arrival is taken to mean: nobody knows yet, so nearly nothing.
constexpr double kLeastElapsed = 0.05;
}  // namespace

double ArrivalRate::decayed(double weight, Nanos now) const noexcept {
  const double age = seconds_from_nanos(std::max<Nanos>(0, now - last_));
  return weight * std::exp(-age / kMemorySeconds);
}

void ArrivalRate::arrived(Nanos now) noexcept {
  if (count_ > 0.0) {
    count_ = decayed(count_, now);
    elapsed_ = kMemorySeconds - decayed(kMemorySeconds - elapsed_, now);
  }
  count_ += 1.0;
  last_ = std::max(last_, now);
}

double ArrivalRate::per_second(Nanos now) const noexcept {
  if (count_ == 0.0) {
    return 0.0;
  }
  const double elapsed = kMemorySeconds - decayed(kMemorySeconds - elapsed_, now);
  // The first arrival began the observation and was not waited for.
  return std::max(0.0, decayed(count_, now) - decayed(1.0, now)) / std::max(elapsed, kLeastElapsed);
}

}  // namespace resilience
