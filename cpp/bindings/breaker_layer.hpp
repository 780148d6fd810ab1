// What a guarded call asks of a circuit breaker: may I run, and how did it go.
//
// The layer joins the machine with what only Python knows: which exceptions are failures, who listens, and
// the breaker's public object. Every function here runs under the GIL and outside the machine's locks.
#pragma once

#include <Python.h>

#include <memory>

#include "resilience/circuit_breaker.hpp"
#include "resilience/time_source.hpp"

namespace resilience::bindings {

struct BreakerLayer {
  std::unique_ptr<CircuitBreaker> machine;
  TimeSource time;
  bool listening = false;              // somebody wants every outcome, not only state changes
  PyObject* owner = nullptr;           // borrowed: the CircuitBreaker that this is part of
  PyObject* name = nullptr;            // str
  PyObject* failure_on = nullptr;      // a class, a tuple of classes or a predicate; null: the default rule
  PyObject* ignore = nullptr;          // a class or a tuple of classes, or null
  PyObject* failure_result = nullptr;  // a predicate, or null
  double last_failure_time = -1.0;     // UNIX seconds
};

// One admitted run of a function.
struct BreakerRun {
  BreakerPermit permit;
  TimeSource::Stamp started = 0;
};

// False with CircuitOpenError set when the call may not run.
inline bool admit(BreakerLayer& layer, BreakerRun& run);

// The call returned `result` (borrowed).
void settle_result(BreakerLayer& layer, const BreakerRun& run, PyObject* result);

// The call ended with the exception that is set now, which stays set.
void settle_error(BreakerLayer& layer, const BreakerRun& run);

// The call was given up without a verdict: closed, collected or refused further in.
void settle_release(BreakerLayer& layer, const BreakerRun& run);

// How an exception counts.
Outcome classify(const BreakerLayer& layer, PyObject* exception);

// Records an outcome and tells the listeners. `error` (borrowed) may be null.
void settle(BreakerLayer& layer, const BreakerRun& run, Outcome outcome, PyObject* error);
// Tells the listeners what a record() led to.
void tell_recorded(BreakerLayer& layer, const Recorded& recorded, Outcome outcome, Nanos duration,
                   PyObject* error);
void tell(BreakerLayer& layer, const char* kind, Nanos duration, PyObject* error);
void tell_change(BreakerLayer& layer, const StateChange& change);

namespace detail {
bool admit_slowly(BreakerLayer& layer, BreakerRun& run);
}

inline bool admit(BreakerLayer& layer, BreakerRun& run) {
  if (!layer.machine->try_acquire_closed(run.permit)) [[unlikely]] {
    return detail::admit_slowly(layer, run);
  }
  run.started = layer.time.stamp();
  return true;
}

}  // namespace resilience::bindings
