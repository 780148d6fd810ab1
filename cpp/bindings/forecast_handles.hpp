// What Python holds of a forecaster: the machine, shared with its provisioners, and the lock that all of them
// take after giving up the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "resilience/forecast.hpp"

namespace resilience::bindings {

using Loads = std::vector<std::optional<double>>;

struct ForecasterHandle {
  std::shared_ptr<Forecaster> machine;
  std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();
};

// Runs `work` without the GIL and under `mutex`. Safe because the machines know nothing of Python and every
// use of one goes through here; the lock is never waited for while the GIL is held.
template <typename Work>
auto unlocked(std::mutex& mutex, Work work) {
  const pybind11::gil_scoped_release release;
  const std::lock_guard<std::mutex> lock(mutex);
  return work();
}

// Raises ValueError unless every load is finite and >= 0.
void check_loads(const Loads& loads, const char* argument);
void check_load(std::optional<double> load, const char* argument);
// Raises ValueError with the kinds there are.
[[nodiscard]] ForecastKind checked_kind(const std::string& name, const char* argument);

}  // namespace resilience::bindings
