// The trial of a half-open breaker: admits a bounded number of probes and reaches a verdict from their
// outcomes.
//
// Each admitted probe holds a lease. An outcome under a live lease counts; a release (cancelled, ignored,
// rejected further in) or an expired lease gives the place back without a verdict. The verdict falls as soon
// as it is decided: enough successes close, more failures than can still be made good reopen.
//
// One trial serves one half-open period; permits of another period differ in their generation.
// Thread-safety: none; the breaker locks. Complexity: O(probes in flight), bounded by `concurrency`.
#pragma once

#include <cstdint>
#include <vector>

#include "resilience/clock.hpp"

namespace resilience {

enum class Verdict : std::uint8_t { kUndecided, kClose, kReopen };

class HalfOpenTrial {
 public:
  // REQUIRES: requests >= successes >= 1, concurrency >= 1, lease > 0.
  HalfOpenTrial(std::uint32_t requests, std::uint32_t successes, std::uint32_t concurrency,
                Nanos lease) noexcept
      : requests_(requests), needed_(successes), concurrency_(concurrency), lease_(lease) {}

  // Takes back the leases that have run out by `now`.
  void expire(Nanos now);
  // A lease for one probe, 0 when none may be admitted now.
  [[nodiscard]] std::uint32_t admit(Nanos now);
  // False when the lease is gone: the outcome is late and counts for nothing.
  [[nodiscard]] bool settle(std::uint32_t lease, bool success);
  // Gives the place back. False when the lease is gone.
  bool release(std::uint32_t lease);
  [[nodiscard]] Verdict verdict() const noexcept;
  // Nanoseconds until a place is certain to be free again; 0 when one is.
  [[nodiscard]] Nanos next_place_in(Nanos now) const noexcept;

 private:
  struct Lease {
    std::uint32_t id;
    Nanos expires;
  };
  bool take(std::uint32_t lease);

  std::uint32_t requests_;
  std::uint32_t needed_;
  std::uint32_t concurrency_;
  std::uint32_t next_id_ = 1;
  std::uint32_t admitted_ = 0;
  std::uint32_t successes_ = 0;
  std::uint32_t failures_ = 0;
  Nanos lease_;
  std::vector<Lease> in_flight_;  // in order of expiry
};

}  // namespace resilience
