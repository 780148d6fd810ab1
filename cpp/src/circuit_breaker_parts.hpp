// The parts a breaker allocates: stripes for counting and, once it has left `closed`, its periods.
#pragma once

#include "resilience/circuit_breaker.hpp"

namespace resilience {

struct CircuitBreaker::Stripe {
  explicit Stripe(const CircuitBreakerConfig& config)
      : time_window(config.monitor_window),
        count_window(config.window_calls == 0 ? nullptr
                                              : std::make_unique<CountWindow>(config.window_calls)) {}

  void add(bool failure, bool slow, Nanos now) {
    if (count_window) {
      count_window->add(failure, slow);
    } else {
      time_window.add(now, failure, slow);
    }
  }
  const WindowCounts& expire(Nanos now) {
    return count_window ? count_window->counts() : time_window.expire(now);
  }
  [[nodiscard]] WindowCounts counts(Nanos now) const {
    return count_window ? count_window->counts() : time_window.counts(now);
  }
  void clear() {
    time_window.clear();
    if (count_window) {
      count_window->clear();
    }
  }

  void rewindow(const CircuitBreakerConfig& config) {
    time_window = TimeWindow(config.monitor_window);
    count_window = config.window_calls == 0 ? nullptr : std::make_unique<CountWindow>(config.window_calls);
  }

  mutable SpinLock lock;  // guards all below
  TimeWindow time_window;
  std::unique_ptr<CountWindow> count_window;  // instead of time_window; then the only stripe is the first
  BreakerTotals totals;
  CompactHistogram latency;
};

struct CircuitBreaker::Stripes {
  struct alignas(64) Padded {  // a cache line apart from its neighbours
    explicit Padded(const CircuitBreakerConfig& config) : stripe(config) {}
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
};

template <typename Visit>
void CircuitBreaker::visit_stripes(Visit visit) const {
  const auto locked = [&visit](Stripe& stripe) {
    const SpinGuard guard(stripe.lock);
    visit(stripe);
  };
  locked(*base_);
  if (const Stripes* extra = extra_.load(std::memory_order_acquire)) {
    for (const auto& padded : extra->all) {
      locked(padded->stripe);
    }
  }
}

}  // namespace resilience
