// A reading of the system as Python sees it: a dict, None for what could not be had.
#pragma once

#include <pybind11/pybind11.h>

#include "resilience/system_probe.hpp"

namespace resilience::bindings {

[[nodiscard]] pybind11::dict to_dict(const SystemReading& reading);

}  // namespace resilience::bindings
