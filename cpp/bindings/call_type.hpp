// The Python type of a native call: a coroutine in all but its type.
//
// CallType<Driver> makes it of a CallFrame: send, throw, close, collection and everything a coroutine shows.
// A Driver decides what a call does. It has these members:
//
// - Call: a struct derived from CallFrame, with fields of its own.
// - create(Call*): memory is new, make the own fields; they are empty again after each use.
// - traverse(Call*, visitproc, void*): what a call refers to besides the frame's.
// - start(Call*, PyObject** result): the first step.
// - conclude(Call*, PySendResult outcome, PyObject** result): a step has ended so.
// - release(Call*): ended from outside, without a verdict.
// - fail(Call*): ended from outside, with the exception that is set now.
// - Stepping: lives on the stack, made of a Call*, while code of the call runs.
// - Optional: drop(Call*), which empties own fields that outlive the call; complete(PyTypeObject&), which
//   adds to the type before it is readied.
//
// A driver calls finish() once it has a result or an error to give.
#pragma once

#include <Python.h>

#include <cstddef>

#include "awaitable.hpp"
#include "call_frame.hpp"
#include "errors.hpp"
#include "guard.hpp"

namespace resilience::bindings {

template <typename Driver>
class CallType {
  using Call = typename Driver::Call;

 public:
  // A call of `function`, which is called at the first step (new reference).
  static PyObject* make(Guard* guard, PyObject* function, PyObject* const* args, Py_ssize_t nargs,
                        PyObject* kwnames) {
    Call* self = allocate();
    if (self == nullptr) {
      return nullptr;
    }
    if (!take_arguments(self, args, nargs, kwnames)) [[unlikely]] {
      Py_DECREF(reinterpret_cast<PyObject*>(self));
      return nullptr;
    }
    self->guard = reinterpret_cast<Guard*>(Py_XNewRef(reinterpret_cast<PyObject*>(guard)));
    self->function = Py_NewRef(function);
    self->phase = Phase::kCreated;
    return reinterpret_cast<PyObject*>(self);
  }

  // A call whose coroutine (stolen) has been made (new reference).
  static PyObject* make_with(Guard* guard, PyObject* coroutine) {
    Call* self = allocate();
    if (self == nullptr) {
      Py_DECREF(coroutine);
      return nullptr;
    }
    self->guard = reinterpret_cast<Guard*>(Py_NewRef(reinterpret_cast<PyObject*>(guard)));
    self->inner = coroutine;
    self->phase = Phase::kCreated;
    return reinterpret_cast<PyObject*>(self);
  }

  static bool init(PyObject* module, const char* name, const char* full_name, const char* doc) {
    static PyMethodDef methods[] = {
        {"send", method_send, METH_O, "send(value): resume the call and return what it yields next."},
        {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method_throw)), METH_FASTCALL,
         "throw(exception): raise inside the call and return what it yields next."},
        {"close", method_close, METH_NOARGS, "close(): end the call, releasing what it holds."},
        {nullptr}};
    static PyAsyncMethods async_methods = {await, nullptr, nullptr, send};
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);
    type.tp_name = full_name;
    type.tp_doc = doc;
    type.tp_basicsize = sizeof(Call);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC;
    type.tp_dealloc = dealloc;
    type.tp_traverse = traverse;
    type.tp_clear = clear;
    type.tp_finalize = finalize;
    type.tp_weaklistoffset = offsetof(CallFrame, weakrefs);
    type.tp_repr = call_repr;
    type.tp_as_async = &async_methods;
    type.tp_iter = PyObject_SelfIter;
    type.tp_iternext = iternext_by<send>;
    type.tp_methods = methods;
    type.tp_getset = call_properties;
    if constexpr (requires { Driver::complete(type); }) {
      Driver::complete(type);
    }
    return PyType_Ready(&type) == 0 &&
           PyModule_AddObjectRef(module, name, reinterpret_cast<PyObject*>(&type)) == 0;
  }

 private:
  static Call* as_call(PyObject* self) { return reinterpret_cast<Call*>(self); }

  // An empty call that the collector knows.
  static Call* allocate() {
    Call* self = calls.take();
    if (self != nullptr) [[likely]] {
      return self;
    }
    self = PyObject_GC_New(Call, &type);
    if (self != nullptr) {
      clear_frame(self);
      Driver::create(self);
      PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
    }
    return self;
  }

  static PySendResult send(PyObject* object, PyObject* value, PyObject** result) {
    Call* self = as_call(object);
    *result = nullptr;
    switch (self->phase) {
      case Phase::kCreated:
        if (value != Py_None) {
          PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
          return PYGEN_ERROR;
        }
        self->phase = Phase::kRunning;
        return start(self, result);
      case Phase::kSuspended: {
        self->phase = Phase::kRunning;
        const typename Driver::Stepping stepping(self);
        const PySendResult outcome = step(self->inner, value, result);
        return Driver::conclude(self, outcome, result);
      }
      case Phase::kRunning:
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return PYGEN_ERROR;
      case Phase::kClosed:
        break;
    }
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return PYGEN_ERROR;
  }

  static PySendResult start(Call* self, PyObject** result) {
    const typename Driver::Stepping stepping(self);
    return Driver::start(self, result);
  }

  static PyObject* await(PyObject* self) {
    if (as_call(self)->phase == Phase::kSuspended) {
      PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
      return nullptr;
    }
    return Py_NewRef(self);
  }

  static PyObject* method_send(PyObject* self, PyObject* value) {
    PyObject* result = nullptr;
    const PySendResult outcome = send(self, value, &result);
    return as_method_result(outcome, result);
  }

  static PyObject* method_throw(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
    Call* self = as_call(object);
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
    const bool started = self->phase == Phase::kSuspended;
    self->phase = Phase::kRunning;
    PyObject* result = nullptr;
    const typename Driver::Stepping stepping(self);
    PySendResult outcome = throw_into(self->inner, args, nargs, &result);
    if (started) {
      outcome = Driver::conclude(self, outcome, &result);
    } else {
      finish(self);  // nothing was admitted, so there is nothing to conclude
    }
    return as_method_result(outcome, result);
  }

  // Ends the call from outside. False with an exception set when the function refused to end.
  static bool close(Call* self) {
    if (self->inner == nullptr || self->phase == Phase::kClosed) {
      finish(self);
      return true;
    }
    const bool started = self->phase == Phase::kSuspended;
    self->phase = Phase::kRunning;
    const bool closed = close_iterator(self->inner);
    if (started && closed) {
      Driver::release(self);
    } else if (started) {
      Driver::fail(self);
    }
    finish(self);
    return closed;
  }

  static PyObject* method_close(PyObject* self, PyObject* /*unused*/) {
    if (as_call(self)->phase == Phase::kRunning) {
      PyErr_SetString(PyExc_ValueError, "coroutine already executing");
      return nullptr;
    }
    return close(as_call(self)) ? Py_NewRef(Py_None) : nullptr;
  }

  static void finalize(PyObject* object) {
    Call* self = as_call(object);
    self->finalized = true;
    if (self->phase == Phase::kClosed) {
      return;
    }
    PyObject* pending = take_error();
    if (self->phase == Phase::kSuspended) {
      if (!close(self)) {
        PyErr_WriteUnraisable(object);
      }
    } else if (self->function != nullptr) {  // else the coroutine warns by itself
      warn_never_awaited(self);
    }
    finish(self);
    put_error(pending);
  }

  static int traverse(PyObject* object, visitproc visit, void* arg) {
    Call* self = as_call(object);
    Py_VISIT(reinterpret_cast<PyObject*>(self->guard));
    Py_VISIT(self->function);
    Py_VISIT(self->inner);
    if (self->args != nullptr) {
      for (Py_ssize_t i = 0; i < self->ntotal; ++i) {
        Py_VISIT(self->args[i]);
      }
    }
    return Driver::traverse(self, visit, arg);
  }

  static void drop_own([[maybe_unused]] Call* self) {
    if constexpr (requires { Driver::drop(self); }) {
      Driver::drop(self);
    }
  }

  // Cycles through a call are broken at its arguments and what it waits for; what names it stays.
  static int clear(PyObject* object) {
    drop_own(as_call(object));
    drop_arguments(as_call(object));
    Py_CLEAR(as_call(object)->inner);
    return 0;
  }

  static void dealloc(PyObject* object) {
    Call* self = as_call(object);
    if (self->phase != Phase::kClosed && PyObject_CallFinalizerFromDealloc(object) < 0) {
      return;  // somebody holds it again
    }
    if (self->weakrefs != nullptr) {
      PyObject_ClearWeakRefs(object);
    }
    hold_while_clearing(object);
    self->phase = Phase::kClosed;
    drop_own(self);
    drop_arguments(self);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->function);
    Py_CLEAR(self->guard);
    if (still_unheld(object) && (self->finalized || !calls.give(self))) {
      PyObject_GC_UnTrack(object);
      PyObject_GC_Del(self);
    }
  }

  static inline PyTypeObject type;
  static inline FreeList<Call, 64> calls;
};

}  // namespace resilience::bindings
