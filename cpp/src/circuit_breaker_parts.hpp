// The parts a breaker allocates when it needs them: more stripes for counting and, once it has left `closed`,
// its periods.
#pragma once

#include <vector>

#include "resilience/circuit_breaker.hpp"

namespace resilience {

struct CircuitBreaker::Stripes {
  struct alignas(128) Padded {  // cache lines are fetched in pairs
    explicit Padded(const CircuitBreakerConfig& config)
        : stripe(config.monitor_window, config.window_calls) {}
    Stripe stripe;
  };
  std::vector<std::unique_ptr<Padded>> all;
};

struct CircuitBreaker::Periods {
  HalfOpenTrial trial{1, 1, 1, 1};  // made anew for each half-open period
  std::uint32_t reopenings = 0;     // since the last close
  bool held = false;                // health checks may not end this open period
  std::array<Nanos, kBreakerStates> time_in_state{};
  std::array<std::uint64_t, kBreakerStates> entered{};
  std::vector<std::shared_ptr<const CircuitBreakerConfig>>
      retired;  // former ones: a call may be reading them
};

template <typename Visit>
void CircuitBreaker::visit_stripes(Visit visit) const {
  const auto locked = [&visit](Stripe& stripe) {
    const SpinGuard guard(stripe.lock);
    visit(stripe);
  };
  locked(base_);
  if (const Stripes* extra = extra_.load(std::memory_order_acquire)) {
    for (const auto& padded : extra->all) {
      locked(padded->stripe);
    }
  }
}

}  // namespace resilience
