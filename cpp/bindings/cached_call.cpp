// One call of a cached coroutine function: a coroutine in all but its type.
//
// The first step looks the key up; a fresh hit is the result of that step, and no coroutine exists. Anything
// else is stepped through to the coroutine that the function's `load` makes. The collector learns of a call
// when it suspends: a hit lives too briefly to be worth its books.
#include <cstddef>

#include "awaitable.hpp"
#include "cached_function.hpp"
#include "errors.hpp"
#include "guard.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

constexpr Py_ssize_t kInlineArguments = 6;

enum class Phase : unsigned char { kCreated, kRunning, kSuspended, kClosed };

struct CachedCall {
  PyObject_HEAD CachedFunction* function;
  PyObject* inner;  // the coroutine of a load, once there is one
  PyObject* kwnames;
  PyObject** args;    // inline_args, or memory of its own; null once dropped
  Py_ssize_t nargs;   // positional
  Py_ssize_t ntotal;  // with keywords
  PyObject* weakrefs;
  Phase phase;
  bool finalized;  // Python finalizes an object once, so this one can't be used again
  PyObject* inline_args[kInlineArguments];
};

PyTypeObject call_type;
FreeList<CachedCall, 64> calls;

CachedCall* as_call(PyObject* self) { return reinterpret_cast<CachedCall*>(self); }

void drop_arguments(CachedCall* self) {
  PyObject** args = self->args;
  if (args == nullptr) {
    return;
  }
  self->args = nullptr;
  const Py_ssize_t count = self->ntotal;
  for (Py_ssize_t at = 0; at < count; ++at) {
    Py_DECREF(args[at]);
  }
  if (args != self->inline_args) [[unlikely]] {
    PyMem_Free(args);
  }
  Py_CLEAR(self->kwnames);
}

// After a step: the call is over.
void finish(CachedCall* self) {
  self->phase = Phase::kClosed;
  drop_arguments(self);
  Py_CLEAR(self->inner);
}

PySendResult conclude(CachedCall* self, PySendResult outcome) {
  if (outcome == PYGEN_NEXT) {
    self->phase = Phase::kSuspended;
  } else {
    finish(self);
  }
  return outcome;
}

// The coroutine that loads, or waits for a load (new reference).
PyObject* make_load(CachedCall* self, PyObject* key) {
  const PyRef positional(positional_of(self->args, self->nargs));
  const PyRef keywords(keywords_of(self->args, self->nargs, self->kwnames));
  if (!positional || !keywords) {
    return nullptr;
  }
  return PyObject_CallFunctionObjArgs(self->function->load, key, positional.get(), keywords.get(), nullptr);
}

PySendResult start(CachedCall* self, PyObject** result) {
  PyObject* raw_key = nullptr;
  *result = find_cached(*self->function, self->args, self->nargs, self->kwnames, &raw_key);
  const PyRef key(raw_key);
  if (*result != nullptr) [[likely]] {
    finish(self);
    return PYGEN_RETURN;
  }
  self->inner = key ? make_load(self, key.get()) : nullptr;
  if (self->inner == nullptr) {
    finish(self);
    return PYGEN_ERROR;
  }
  drop_arguments(self);
  return conclude(self, step(self->inner, Py_None, result));
}

PySendResult call_send(PyObject* object, PyObject* value, PyObject** result) {
  CachedCall* self = as_call(object);
  *result = nullptr;
  switch (self->phase) {
    case Phase::kCreated:
      if (value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
      }
      self->phase = Phase::kRunning;
      return start(self, result);
    case Phase::kSuspended:
      self->phase = Phase::kRunning;
      return conclude(self, step(self->inner, value, result));
    case Phase::kRunning:
      PyErr_SetString(PyExc_ValueError, "coroutine already executing");
      return PYGEN_ERROR;
    case Phase::kClosed:
      break;
  }
  PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
  return PYGEN_ERROR;
}

PyObject* call_iternext(PyObject* self) {
  PyObject* result = nullptr;
  switch (call_send(self, Py_None, &result)) {
    case PYGEN_NEXT:
      return result;
    case PYGEN_RETURN:
      return finish_iteration(result);
    case PYGEN_ERROR:
      break;
  }
  return nullptr;
}

PyObject* call_await(PyObject* self) {
  if (as_call(self)->phase == Phase::kSuspended) {
    PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
    return nullptr;
  }
  return Py_NewRef(self);
}

PyObject* method_send(PyObject* self, PyObject* value) {
  PyObject* result = nullptr;
  const PySendResult outcome = call_send(self, value, &result);
  return as_method_result(outcome, result);
}

PyObject* method_throw(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  CachedCall* self = as_call(object);
  if (nargs < 1 || nargs > 3) {
    PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", nargs);
    return nullptr;
  }
  if (self->phase == Phase::kRunning) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return nullptr;
  }
  if (self->phase == Phase::kClosed) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return nullptr;
  }
  PyObject* inner = self->phase == Phase::kSuspended ? self->inner : nullptr;
  self->phase = Phase::kRunning;
  PyObject* result = nullptr;
  const PySendResult outcome = conclude(self, throw_into(inner, args, nargs, &result));
  return as_method_result(outcome, result);
}

// Ends the call from outside. False with an exception set when the load refused to end.
bool close_call(CachedCall* self) {
  bool closed = true;
  if (self->phase == Phase::kSuspended) {
    self->phase = Phase::kRunning;
    closed = close_iterator(self->inner);
  }
  finish(self);
  return closed;
}

PyObject* method_close(PyObject* self, PyObject* /*unused*/) {
  if (as_call(self)->phase == Phase::kRunning) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return nullptr;
  }
  return close_call(as_call(self)) ? Py_NewRef(Py_None) : nullptr;
}

PyObject* from_function(PyObject* self, const char* attribute) {
  const CachedFunction* function = as_call(self)->function;
  if (function == nullptr) {  // it waits for its next use, and was found through the gc module
    return Py_NewRef(Py_None);
  }
  return PyObject_GetAttrString(function->wrapped, attribute);
}

void call_finalize(PyObject* object) {
  CachedCall* self = as_call(object);
  self->finalized = true;
  if (self->phase == Phase::kClosed) {
    return;
  }
  const SavedError saved;
  if (self->phase == Phase::kCreated) {
    const PyRef name(from_function(object, "__qualname__"));
    if (!name ||
        PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%S' was never awaited", name.get()) < 0) {
      PyErr_WriteUnraisable(object);
    }
    finish(self);
  } else if (!close_call(self)) {
    PyErr_WriteUnraisable(object);
  }
}

int call_traverse(PyObject* object, visitproc visit, void* arg) {
  CachedCall* self = as_call(object);
  Py_VISIT(reinterpret_cast<PyObject*>(self->function));
  Py_VISIT(self->inner);
  for (Py_ssize_t at = 0; self->args != nullptr && at < self->ntotal; ++at) {
    Py_VISIT(self->args[at]);
  }
  return 0;
}

int call_clear(PyObject* object) {
  CachedCall* self = as_call(object);
  drop_arguments(self);
  Py_CLEAR(self->inner);
  return 0;
}

void call_dealloc(PyObject* object) {
  CachedCall* self = as_call(object);
  if (self->phase != Phase::kClosed && PyObject_CallFinalizerFromDealloc(object) < 0) {
    return;  // somebody holds it again
  }
  if (self->weakrefs != nullptr) {
    PyObject_ClearWeakRefs(object);
  }
  hold_while_clearing(object);
  if (self->args != nullptr || self->inner != nullptr) {
    finish(self);
  }
  Py_CLEAR(self->function);
  if (still_unheld(object) && (self->finalized || !calls.give(self))) {
    PyObject_GC_UnTrack(object);
    PyObject_GC_Del(self);
  }
}

// ------------------------------------------------------------------------------------ what a coroutine shows

PyObject* from_inner(PyObject* object, const char* attribute) {
  PyObject* inner = as_call(object)->inner;
  PyObject* value = inner == nullptr ? nullptr : PyObject_GetAttrString(inner, attribute);
  if (value == nullptr) {
    PyErr_Clear();
    return Py_NewRef(Py_None);
  }
  return value;
}

// The frame that a call not begun would have: that of a coroutine made to be looked at. None for wrong
// arguments.
PyObject* frame_to_be(CachedCall* self) {
  const PyRef coroutine(PyObject_Vectorcall(self->function->wrapped, self->args,
                                            static_cast<std::size_t>(self->nargs), self->kwnames));
  PyObject* frame = coroutine ? PyObject_GetAttrString(coroutine.get(), "cr_frame") : nullptr;
  if (frame == nullptr || !close_iterator(coroutine.get())) {
    PyErr_Clear();
  }
  return frame == nullptr ? Py_NewRef(Py_None) : frame;
}

PyObject* get_frame(PyObject* object, void* /*unused*/) {
  CachedCall* self = as_call(object);
  return self->phase == Phase::kCreated && makes_coroutine(self->function->wrapped)
             ? frame_to_be(self)
             : from_inner(object, "cr_frame");
}
PyObject* get_await(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_await"); }
PyObject* get_origin(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_origin"); }
PyObject* get_code(PyObject* self, void* /*unused*/) { return from_function(self, "__code__"); }
PyObject* get_name(PyObject* self, void* /*unused*/) { return from_function(self, "__name__"); }
PyObject* get_qualname(PyObject* self, void* /*unused*/) { return from_function(self, "__qualname__"); }
PyObject* get_running(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_call(self)->phase == Phase::kRunning ? 1 : 0);
}
PyObject* get_suspended(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_call(self)->phase == Phase::kSuspended ? 1 : 0);
}

PyObject* call_repr(PyObject* self) {
  const PyRef name(from_function(self, "__qualname__"));
  return name ? PyUnicode_FromFormat("<cached call %S at %p>", name.get(), self) : nullptr;
}

PyMethodDef methods[] = {
    {"send", method_send, METH_O, "send(value): resume the call and return what it yields next."},
    {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method_throw)), METH_FASTCALL,
     "throw(exception): raise inside the call and return what it yields next."},
    {"close", method_close, METH_NOARGS, "close(): end the call."},
    {nullptr}};

PyGetSetDef properties[] = {
    {"__name__", get_name},      {"__qualname__", get_qualname},  {"cr_await", get_await},
    {"cr_frame", get_frame},     {"cr_code", get_code},           {"cr_origin", get_origin},
    {"cr_running", get_running}, {"cr_suspended", get_suspended}, {nullptr}};

CachedCall* new_call() {
  CachedCall* self = PyObject_GC_New(CachedCall, &call_type);
  if (self != nullptr) {
    self->function = nullptr;
    self->inner = nullptr;
    self->kwnames = nullptr;
    self->args = nullptr;
    self->weakrefs = nullptr;
    self->finalized = false;
    self->phase = Phase::kClosed;
    PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
  }
  return self;
}

PyAsyncMethods async_methods = {call_await, nullptr, nullptr, call_send};

}  // namespace

PyObject* make_cached_call(CachedFunction* function, PyObject* const* args, Py_ssize_t nargs,
                           PyObject* kwnames) {
  CachedCall* self = calls.take();
  if (self == nullptr && (self = new_call()) == nullptr) {
    return nullptr;
  }
  const Py_ssize_t total = nargs + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames));
  PyObject** slots = self->inline_args;
  if (total > kInlineArguments) [[unlikely]] {
    slots = static_cast<PyObject**>(PyMem_Malloc(sizeof(PyObject*) * static_cast<std::size_t>(total)));
    if (slots == nullptr) {
      Py_DECREF(reinterpret_cast<PyObject*>(self));
      return PyErr_NoMemory();
    }
  }
  for (Py_ssize_t at = 0; at < total; ++at) {
    slots[at] = Py_NewRef(args[at]);
  }
  self->args = slots;
  self->nargs = nargs;
  self->ntotal = total;
  self->kwnames = Py_XNewRef(kwnames);
  self->function = reinterpret_cast<CachedFunction*>(Py_NewRef(reinterpret_cast<PyObject*>(function)));
  self->phase = Phase::kCreated;
  return reinterpret_cast<PyObject*>(self);
}

bool init_cached_call(PyObject* module) {
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&call_type), 1);
  call_type.tp_name = "resilience._core.CachedCall";
  call_type.tp_doc = "One call of a cached function; awaitable once, and a coroutine in every other respect.";
  call_type.tp_basicsize = sizeof(CachedCall);
  call_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  call_type.tp_dealloc = call_dealloc;
  call_type.tp_traverse = call_traverse;
  call_type.tp_clear = call_clear;
  call_type.tp_finalize = call_finalize;
  call_type.tp_weaklistoffset = offsetof(CachedCall, weakrefs);
  call_type.tp_repr = call_repr;
  call_type.tp_as_async = &async_methods;
  call_type.tp_iter = PyObject_SelfIter;
  call_type.tp_iternext = call_iternext;
  call_type.tp_methods = methods;
  call_type.tp_getset = properties;
  return PyType_Ready(&call_type) == 0 &&
         PyModule_AddObjectRef(module, "CachedCall", reinterpret_cast<PyObject*>(&call_type)) == 0;
}

}  // namespace resilience::bindings
