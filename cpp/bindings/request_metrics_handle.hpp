// The request metrics as Python holds them, and as the native pass of a request fills them: with their clock.
//
// Needs the GIL, which serialises the machine.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "policy_handles.hpp"
#include "resilience/request_metrics.hpp"
#include "resilience/tick_clock.hpp"

namespace resilience::bindings {

struct RequestMetricsHandle {
  explicit RequestMetricsHandle(ClockPtr given)
      : clock(clock_or_system(std::move(given))),
        system_clock(clock == std::static_pointer_cast<Clock>(SystemClock::instance())),
        machine(clock->now()) {}

  [[nodiscard]] Nanos now() const noexcept { return system_clock ? TickClock::now() : clock->now(); }
  // When a request begins.
  [[nodiscard]] TickClock::Stamp stamp() const noexcept {
    return system_clock ? TickClock::stamp() : clock->now();
  }
  // The time now, and how long a request has taken.
  [[nodiscard]] Nanos now_since(TickClock::Stamp started, Nanos& duration) const noexcept {
    if (system_clock) [[likely]] {
      return TickClock::now_since(started, duration);
    }
    const Nanos now = clock->now();
    duration = now - started;
    return now;
  }

  ClockPtr clock;
  bool system_clock;
  RequestMetrics machine;
};

}  // namespace resilience::bindings
