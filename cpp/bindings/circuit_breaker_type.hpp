// The Python object of a circuit breaker: a guard whose plan is the breaker itself.
#pragma once

#include "guard.hpp"

namespace resilience::bindings {

struct BreakerObject {
  Guard guard;
  BreakerLayer layer;
};

bool init_circuit_breaker_type(PyObject* module);
PyTypeObject* circuit_breaker_type();

}  // namespace resilience::bindings
