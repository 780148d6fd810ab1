// What RequestBatcher's native base is made of.
#pragma once

#include <Python.h>

#include "batch_lane.hpp"

namespace resilience::bindings {

inline BatcherObject* as_batcher(PyObject* self) { return reinterpret_cast<BatcherObject*>(self); }

// The event loop that a request is added on: a new reference, or null with an exception set.
PyObject* loop_here();

// RequestBatcher.add_request, with vectorcall arguments.
PyObject* add_request(PyObject* object, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);

}  // namespace resilience::bindings
