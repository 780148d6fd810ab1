// What the allocator's Python face and the engine's thread share: the machine, its grid and its last sights.
//
// Thread-safety: everything is guarded by one mutex, which is only waited for without the GIL.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "resilience/allocator.hpp"
#include "resilience/clock.hpp"
#include "resilience/tick_grid.hpp"

namespace resilience::bindings {

// What one sample led to.
struct Step {
  TickGrid::Tick tick;
  std::vector<AuditEntry> proposals;
};

class AllocatorState {
 public:
  AllocatorState(const AllocatorConfig& config, std::shared_ptr<Clock> time_source)
      : machine(config), grid(config.interval), clock(std::move(time_source)) {}

  // Takes a sample at the clock's time, or at `time` (UNIX seconds) when given. A sample whose step has
  // already been seen is the next step when `forced`, else it is dropped.
  Step observe(LoadSample sample, std::optional<double> time, bool forced) {
    const std::lock_guard<std::mutex> lock(mutex);
    const double wall = time.value_or(clock->unix_time());
    if (const auto latest = grid.latest(); time && latest) {
      grid.resume(*latest);  // a given time is not compared with the monotonic clock
    }
    Step step;
    step.tick = forced ? grid.step(clock->now(), wall) : grid.tick(clock->now(), wall);
    if (step.tick.steps > 0) {
      sample.time = step.tick.time;
      const auto proposals = machine.observe(sample, step.tick.steps);
      step.proposals.assign(proposals.begin(), proposals.end());
    }
    return step;
  }

  // Learns from samples kept before a restart, oldest first.
  void restore(const std::vector<LoadSample>& samples) {
    const std::lock_guard<std::mutex> lock(mutex);
    const double interval = machine.config().interval;
    std::optional<double> before;
    for (const LoadSample& sample : samples) {
      const double steps = before ? (sample.time - *before) / interval : 1.0;
      machine.replay(sample, std::max<std::int64_t>(1, std::llround(steps)));
      before = sample.time;
    }
    if (before) {
      grid.resume(*before);
    }
  }

  std::mutex mutex;
  Allocator machine;
  TickGrid grid;
  std::shared_ptr<Clock> clock;
};

}  // namespace resilience::bindings
