// The request metrics as Python holds them, and as the native pass of a request fills them: with their clock.
//
// Needs the GIL, which serialises the machine.
#pragma once

#include <memory>
#include <utility>

#include "resilience/request_metrics.hpp"
#include "resilience/time_source.hpp"

namespace resilience::bindings {

struct RequestMetricsHandle {
  explicit RequestMetricsHandle(std::shared_ptr<Clock> clock) : time(std::move(clock)), machine(time.now()) {}

  TimeSource time;
  RequestMetrics machine;
};

}  // namespace resilience::bindings
