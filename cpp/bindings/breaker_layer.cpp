#include "breaker_layer.hpp"

#include "errors.hpp"

namespace resilience::bindings {

namespace {

// An attribute as a number of an HTTP status, 0 when it is none.
long status_attribute(PyObject* object, const char* name) {
  PyObject* value = PyObject_GetAttrString(object, name);
  if (value == nullptr) {
    PyErr_Clear();
    return 0;
  }
  long status = 0;
  if (PyLong_Check(value)) {
    status = PyLong_AsLong(value);
    if (status == -1 && PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      status = 0;
    }
  }
  Py_DECREF(value);
  return status;
}

long http_status(PyObject* exception) {
  for (const char* name : {"status_code", "status"}) {
    if (const long status = status_attribute(exception, name); status != 0) {
      return status;
    }
  }
  PyObject* response = PyObject_GetAttrString(exception, "response");
  if (response == nullptr) {
    PyErr_Clear();
    return 0;
  }
  const long status = status_attribute(response, "status_code");
  Py_DECREF(response);
  return status;
}

// A caller's own mistake says nothing about the callee.
bool is_callers_mistake(PyObject* exception) {
  const long status = http_status(exception);
  return status >= 100 && status < 500 && status != 408 && status != 429;
}

bool matches(PyObject* exception, PyObject* types) {
  const int found = PyObject_IsInstance(exception, types);
  if (found < 0) {
    PyErr_WriteUnraisable(types);
  }
  return found > 0;
}

// Whether `types` names a rejection itself, not merely a base of it such as Exception.
bool names_rejection(PyObject* exception, PyObject* types) {
  if (!PyTuple_Check(types)) {
    return PyObject_IsSubclass(types, errors().resilience_error) > 0 && matches(exception, types);
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); ++i) {
    if (names_rejection(exception, PyTuple_GET_ITEM(types, i))) {
      return true;
    }
  }
  return false;
}

// A predicate's answer; one that raises is reported and counts as `otherwise`.
bool ask(PyObject* predicate, PyObject* argument, bool otherwise) {
  PyObject* answer = PyObject_CallOneArg(predicate, argument);
  const int truth = answer == nullptr ? -1 : PyObject_IsTrue(answer);
  Py_XDECREF(answer);
  if (truth < 0) {
    PyErr_WriteUnraisable(predicate);
    return otherwise;
  }
  return truth != 0;
}

const char* kind_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSuccess:
      return "succeeded";
    case Outcome::kFailure:
      return "failed";
    case Outcome::kIgnored:
    case Outcome::kCancelled:
      break;
  }
  return "ignored";
}

}  // namespace

Outcome classify(const BreakerLayer& layer, PyObject* exception) {
  if (!PyObject_TypeCheck(exception, reinterpret_cast<PyTypeObject*>(PyExc_Exception))) {
    return Outcome::kCancelled;  // CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit
  }
  if (layer.ignore != nullptr && matches(exception, layer.ignore)) {
    return Outcome::kIgnored;
  }
  const bool rejection = PyObject_IsInstance(exception, errors().rejected_error) > 0;
  if (layer.failure_on == nullptr) {
    return rejection || is_callers_mistake(exception) ? Outcome::kIgnored : Outcome::kFailure;
  }
  const bool is_types = PyType_Check(layer.failure_on) || PyTuple_Check(layer.failure_on);
  if (!is_types) {
    return ask(layer.failure_on, exception, true) ? Outcome::kFailure : Outcome::kIgnored;
  }
  if (rejection && !names_rejection(exception, layer.failure_on)) {
    return Outcome::kIgnored;
  }
  return matches(exception, layer.failure_on) ? Outcome::kFailure : Outcome::kIgnored;
}

void tell(BreakerLayer& layer, const char* kind, Nanos duration, PyObject* error) {
  PyObject* told = PyObject_CallMethod(layer.owner, "_tell", "sdO", kind, seconds_from_nanos(duration),
                                       error == nullptr ? Py_None : error);
  if (told == nullptr) {
    PyErr_WriteUnraisable(layer.owner);
  }
  Py_XDECREF(told);
}

void tell_change(BreakerLayer& layer, const StateChange& change) {
  PyObject* told = PyObject_CallMethod(layer.owner, "_tell_change", "ii", static_cast<int>(change.from),
                                       static_cast<int>(change.to));
  if (told == nullptr) {
    PyErr_WriteUnraisable(layer.owner);
  }
  Py_XDECREF(told);
}

bool detail::admit_slowly(BreakerLayer& layer, BreakerRun& run) {
  run.started = layer.time.stamp();
  const Admission admission = layer.machine->acquire(layer.time.now());
  if (admission.change) {
    tell_change(layer, *admission.change);
  }
  if (admission.admitted) {
    run.permit = admission.permit;
    return true;
  }
  PyObject* error = make_rejection(errors().circuit_open, layer.name, admission.retry_after);
  if (error == nullptr) {
    return false;
  }
  if (layer.listening) {
    tell(layer, "rejected", 0, error);
  }
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error)), error);
  Py_DECREF(error);
  return false;
}

void tell_recorded(BreakerLayer& layer, const Recorded& recorded, Outcome outcome, Nanos duration,
                   PyObject* error) {
  if (recorded.skipped) {
    return;
  }
  if (outcome == Outcome::kFailure && !recorded.late) {
    layer.last_failure_time = layer.time.clock().unix_time();
  }
  if (layer.listening && !recorded.late) {
    tell(layer, kind_of(outcome), duration, error);
    if (recorded.slow) {
      tell(layer, "slow", duration, error);
    }
  }
  if (recorded.change) {
    tell_change(layer, *recorded.change);
  }
}

void settle(BreakerLayer& layer, const BreakerRun& run, Outcome outcome, PyObject* error) {
  Nanos duration = 0;
  const Nanos now = layer.time.now_since(run.started, duration);
  const Recorded recorded = layer.machine->record(run.permit, outcome, duration, now);
  tell_recorded(layer, recorded, outcome, duration, error);
}

void settle_result(BreakerLayer& layer, const BreakerRun& run, PyObject* result) {
  if (layer.failure_result != nullptr && ask(layer.failure_result, result, false)) {
    settle(layer, run, Outcome::kFailure, nullptr);
    return;
  }
  Nanos duration = 0;
  const Nanos now = layer.time.now_since(run.started, duration);
  if (!layer.listening && layer.machine->record_quiet_success(run.permit, duration, now)) [[likely]] {
    return;
  }
  const Recorded recorded = layer.machine->record(run.permit, Outcome::kSuccess, duration, now);
  tell_recorded(layer, recorded, Outcome::kSuccess, duration, nullptr);
}

void settle_error(BreakerLayer& layer, const BreakerRun& run) {
  PyObject* error = take_error();
  if (error == nullptr) {
    settle(layer, run, Outcome::kIgnored, nullptr);
    return;
  }
  settle(layer, run, classify(layer, error), error);
  put_error(error);
}

void settle_release(BreakerLayer& layer, const BreakerRun& run) {
  settle(layer, run, Outcome::kCancelled, nullptr);
}

}  // namespace resilience::bindings
