#include "errors.hpp"

namespace resilience::bindings {

namespace {

Errors classes;

}  // namespace

const Errors& errors() { return classes; }

bool init_errors() {
  PyObject* module = PyImport_ImportModule("resilience.errors");
  if (module == nullptr) {
    return false;
  }
  bool found = true;
  const auto find = [&](const char* name) {
    PyObject* type = PyObject_GetAttrString(module, name);
    found = found && type != nullptr;
    return type;
  };
  classes.resilience_error = find("ResilienceError");
  classes.rejected_error = find("RejectedError");
  classes.circuit_open = find("CircuitOpenError");
  classes.call_timeout = find("CallTimeoutError");
  classes.bulkhead_full = find("BulkheadFullError");
  classes.rate_limited = find("RateLimitedError");
  classes.batch_error = find("BatchError");
  classes.batch_queue_full = find("BatchQueueFullError");
  classes.batcher_closed = find("BatcherClosedError");
  Py_DECREF(module);
  return found;
}

PyObject* make_rejection(PyObject* type, PyObject* name, Nanos retry_after) {
  PyObject* wait = retry_after < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds_from_nanos(retry_after));
  PyObject* args = wait == nullptr ? nullptr : PyTuple_Pack(2, name, wait);
  Py_XDECREF(wait);
  if (args == nullptr) {
    return nullptr;
  }
  // BaseException.__new__ stores the arguments; __init__ would only store them again.
  PyObject* error =
      reinterpret_cast<PyTypeObject*>(type)->tp_new(reinterpret_cast<PyTypeObject*>(type), args, nullptr);
  Py_DECREF(args);
  return error;
}

PyObject* take_error() {
#if PY_VERSION_HEX >= 0x030C0000
  return PyErr_GetRaisedException();
#else
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr && value != nullptr) {
    PyException_SetTraceback(value, traceback);
  }
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return value;
#endif
}

void put_error(PyObject* error) {
  if (error == nullptr) {
    PyErr_Clear();
    return;
  }
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(error);
#else
  PyErr_Restore(Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(error))), error,
                PyException_GetTraceback(error));
#endif
}

}  // namespace resilience::bindings
