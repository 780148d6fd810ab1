// The library's exception classes, which Python defines, and how native code raises them.
#pragma once

#include <Python.h>

#include "resilience/clock.hpp"

namespace resilience::bindings {

struct Errors {
  PyObject* resilience_error = nullptr;
  PyObject* rejected_error = nullptr;
  PyObject* circuit_open = nullptr;
  PyObject* call_timeout = nullptr;
  PyObject* batch_error = nullptr;
  PyObject* batch_queue_full = nullptr;
  PyObject* batcher_closed = nullptr;
  PyObject* bulkhead_full = nullptr;
  PyObject* rate_limited = nullptr;
};

// The classes, imported from resilience.errors on the first use. REQUIRES: init_errors() succeeded.
const Errors& errors();
bool init_errors();

// A new rejection of class `type` carrying a name and the seconds to wait (None when negative). It is filled
// without running Python code: rejecting must stay cheap while a callee is down.
PyObject* make_rejection(PyObject* type, PyObject* name, Nanos retry_after);

// The error that is set now, taken out as one normalised instance with its traceback (new reference, may be
// null).
PyObject* take_error();
// Sets it again (stolen); null clears.
void put_error(PyObject* error);

}  // namespace resilience::bindings
