// The allocator as Python holds it, and how its values become Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>

#include "allocator_state.hpp"

namespace resilience::bindings {

struct AllocatorHandle {
  std::shared_ptr<AllocatorState> state;
};

using Measured = std::optional<double>;

// The sample that Python's figures describe; raises ValueError naming the one that is out of range.
[[nodiscard]] LoadSample to_sample(Measured rpm, Measured connections, Measured response_time,
                                   Measured cpu_cores, Measured memory_fraction);
[[nodiscard]] pybind11::dict to_dict(const AuditEntry& entry);
[[nodiscard]] pybind11::dict to_dict(const Step& step);

}  // namespace resilience::bindings
