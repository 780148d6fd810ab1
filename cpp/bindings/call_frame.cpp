#include "call_frame.hpp"

#include "cached_function.hpp"

namespace resilience::bindings {

namespace {

CallFrame* as_call(PyObject* self) { return reinterpret_cast<CallFrame*>(self); }

PyObject* from_inner(PyObject* object, const char* attribute) {
  PyObject* inner = as_call(object)->inner;
  PyObject* value = inner == nullptr ? nullptr : PyObject_GetAttrString(inner, attribute);
  if (value == nullptr) {
    PyErr_Clear();
    return Py_NewRef(Py_None);
  }
  return value;
}

// The frame that a call not begun will have: that of a coroutine made to be looked at.
PyObject* frame_to_be(CallFrame* self, PyObject* function) {
  PyObject* coroutine = call_with_arguments(self, function);
  if (coroutine == nullptr) {
    return nullptr;  // wrong arguments: the call will say so
  }
  PyObject* frame = PyObject_GetAttrString(coroutine, "cr_frame");
  discard_made(coroutine);
  Py_DECREF(coroutine);
  return frame;
}

PyObject* get_frame(PyObject* object, void* /*unused*/) {
  CallFrame* self = as_call(object);
  PyObject* function = self->function == nullptr ? nullptr : uncached(self->function);
  if (self->phase == Phase::kCreated && function != nullptr && makes_coroutine(function)) {
    if (PyObject* frame = frame_to_be(self, function)) {
      return frame;
    }
    PyErr_Clear();
  }
  return from_inner(object, "cr_frame");
}
PyObject* get_await(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_await"); }
PyObject* get_origin(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_origin"); }

// What knows the names: the function, or its coroutine; None for an object that waits for its next use.
PyObject* named(PyObject* object) {
  const CallFrame* self = as_call(object);
  if (self->function != nullptr) {
    return self->function;
  }
  return self->inner == nullptr ? Py_None : self->inner;
}

PyObject* get_code(PyObject* self, void* /*unused*/) {
  PyObject* code =
      PyObject_GetAttrString(named(self), as_call(self)->function == nullptr ? "cr_code" : "__code__");
  if (code == nullptr) {
    PyErr_Clear();
    return from_inner(self, "cr_code");
  }
  return code;
}
PyObject* get_running(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_call(self)->phase == Phase::kRunning ? 1 : 0);
}
PyObject* get_suspended(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_call(self)->phase == Phase::kSuspended ? 1 : 0);
}

PyObject* name_attribute(PyObject* self, const char* attribute) {
  PyObject* name = PyObject_GetAttrString(named(self), attribute);
  if (name == nullptr) {
    PyErr_Clear();
    return PyUnicode_FromString(Py_TYPE(named(self))->tp_name);
  }
  return name;
}
PyObject* get_name(PyObject* self, void* /*unused*/) { return name_attribute(self, "__name__"); }
PyObject* get_qualname(PyObject* self, void* /*unused*/) { return name_attribute(self, "__qualname__"); }

}  // namespace

PyObject* call_repr(PyObject* self) {
  PyObject* name = get_qualname(self, nullptr);
  PyObject* text = name == nullptr ? nullptr : PyUnicode_FromFormat("<guarded call %S at %p>", name, self);
  Py_XDECREF(name);
  return text;
}

PyGetSetDef call_properties[] = {
    {"__name__", get_name},      {"__qualname__", get_qualname},  {"cr_await", get_await},
    {"cr_frame", get_frame},     {"cr_code", get_code},           {"cr_origin", get_origin},
    {"cr_running", get_running}, {"cr_suspended", get_suspended}, {nullptr}};

void clear_frame(CallFrame* self) {
  self->guard = nullptr;
  self->function = nullptr;
  self->inner = nullptr;
  self->kwnames = nullptr;
  self->args = nullptr;
  self->nargs = 0;
  self->ntotal = 0;
  self->weakrefs = nullptr;
  self->phase = Phase::kClosed;
  self->finalized = false;
}

void discard_made(PyObject* coroutine) {
  PyObject* error = take_error();
  if (!close_iterator(coroutine)) {
    PyErr_WriteUnraisable(coroutine);
  }
  put_error(error);
}

void explain_stop() {
  if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
    return;
  }
  PyObject* stop = take_error();
  PyErr_SetString(PyExc_RuntimeError, "coroutine raised StopIteration");
  PyObject* error = take_error();
  PyException_SetCause(error, Py_NewRef(stop));
  PyException_SetContext(error, stop);
  put_error(error);
}

void refuse_to_await(PyObject* made) {
  const bool stream = PyGen_CheckExact(made) || PyAsyncGen_CheckExact(made);
  PyErr_Format(PyExc_TypeError,
               "call() takes a function whose result is awaited, %s; this one returned %.100s",
               stream ? "decorate one that makes a stream" : "use call_sync() for a plain one",
               Py_TYPE(made)->tp_name);
  Py_DECREF(made);
}

PyObject** argument_slots(Py_ssize_t total) {
  auto* slots =
      static_cast<PyObject**>(PyMem_Malloc(sizeof(PyObject*) * static_cast<std::size_t>(total + 1)));
  if (slots == nullptr) {
    PyErr_NoMemory();
  }
  return slots;
}

void warn_never_awaited(CallFrame* self) {
  auto* object = reinterpret_cast<PyObject*>(self);
  PyObject* name = get_qualname(object, nullptr);
  if (name == nullptr ||
      PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%S' was never awaited", name) < 0) {
    PyErr_WriteUnraisable(object);
  }
  Py_XDECREF(name);
}

}  // namespace resilience::bindings
