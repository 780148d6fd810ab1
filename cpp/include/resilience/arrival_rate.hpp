// An estimate of how many items arrive a second: a count that decays with time constant `kMemory`, divided by
// the memory that has passed. It follows a burst within a fraction of a second and a lull within a few.
// Thread-safety: none. Complexity: O(1).
#pragma once

#include "resilience/clock.hpp"

namespace resilience {

class ArrivalRate {
 public:
  static constexpr Nanos kMemory = kNanosPerSecond;

  void arrived(Nanos now) noexcept;
  [[nodiscard]] double per_second(Nanos now) const noexcept;

 private:
  [[nodiscard]] double decayed(double weight, Nanos now) const noexcept;

  double count_ = 0.0;    // of arrivals, each weighing less the older it is
  double elapsed_ = 0.0;  // seconds observed, weighed alike: it tends to kMemory
  Nanos last_ = 0;
};

}  // namespace resilience
