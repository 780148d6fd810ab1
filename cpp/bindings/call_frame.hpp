// What a native call holds while it is under way: its function, the arguments, and what is being stepped.
//
// call_type.hpp makes Python types of such frames.
//
// Calling a coroutine function runs nothing of it, so its coroutine is made with the call, as `f(x)` itself
// would, and is `inner` before the first step. Any other function, and any call whose arguments are needed
// again, keeps function and arguments until its first step.
#pragma once

#include <Python.h>

#include <cstddef>

#include "awaitable.hpp"
#include "errors.hpp"
#include "guard.hpp"

namespace resilience::bindings {

constexpr Py_ssize_t kInlineArguments = 6;

enum class Phase : unsigned char { kCreated, kRunning, kSuspended, kClosed };

struct CallFrame {
  PyObject_HEAD Guard* guard;  // null for a call that is under none
  PyObject* function;  // with arguments still to be called; null when `inner` is the function's own coroutine
  PyObject* inner;     // the iterator being stepped, once there is one
  PyObject* kwnames;
  PyObject** args;    // inline_args + 1, or memory of its own; args[-1] is free for the callee
  Py_ssize_t nargs;   // positional
  Py_ssize_t ntotal;  // with keywords
  PyObject* weakrefs;
  Phase phase;
  bool finalized;  // Python finalizes an object once, so this one can't be used again
  PyObject* inline_args[kInlineArguments + 1];
};

inline void drop_arguments(CallFrame* self) {
  PyObject** args = self->args;
  if (args == nullptr) {
    return;
  }
  self->args = nullptr;
  const Py_ssize_t count = self->ntotal;
  for (Py_ssize_t i = 0; i < count; ++i) {
    Py_DECREF(args[i]);
  }
  if (args != self->inline_args + 1) {
    PyMem_Free(args - 1);
  }
  Py_CLEAR(self->kwnames);
}

// Gives up what the call holds, keeping only what names it: the function, or its finished coroutine.
inline void finish(CallFrame* self) {
  self->phase = Phase::kClosed;
  drop_arguments(self);
  if (self->function != nullptr) {
    Py_CLEAR(self->inner);
  }
}

// The first step of a coroutine that was made with the call.
inline PySendResult step_made(CallFrame* self, PyObject** result) {
  return PyCoro_Type.tp_as_async->am_send(self->inner, Py_None, result);
}

// A coroutine that was made with the call will never run; the error that is set stays set.
void discard_made(PyObject* coroutine);

// Makes a RuntimeError of a StopIteration that is set, as a coroutine does (PEP 479): whoever steps the call
// would take it for a result.
void explain_stop();

// `function` with the call's arguments. REQUIRES: they have not been dropped.
inline PyObject* call_with_arguments(CallFrame* self, PyObject* function) {
  PyObject* result = PyObject_Vectorcall(
      function, self->args, static_cast<std::size_t>(self->nargs) | PY_VECTORCALL_ARGUMENTS_OFFSET,
      self->kwnames);
  if (result == nullptr) [[unlikely]] {
    explain_stop();
  }
  return result;
}

// Makes `awaitable` (stolen) what is being stepped. False with an exception set when it is none.
inline bool set_inner(CallFrame* self, PyObject* awaitable) {
  self->inner = await_iterator(awaitable);
  Py_DECREF(awaitable);
  return self->inner != nullptr;
}

inline bool is_awaitable(PyObject* object) {
  const PyAsyncMethods* methods = Py_TYPE(object)->tp_as_async;
  return (methods != nullptr && methods->am_await != nullptr) || is_iterable_coroutine(object);
}

// Says that the function was none to await; `made` (stolen) is what it returned.
void refuse_to_await(PyObject* made);

// Empties new memory.
void clear_frame(CallFrame* self);
// Room for more arguments than fit into a frame, and one before them; null with an exception set.
PyObject** argument_slots(Py_ssize_t total);

// Copies vectorcall arguments into a new frame. False with an exception set when there is no memory.
inline bool take_arguments(CallFrame* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const Py_ssize_t total = nargs + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames));
  PyObject** slots = self->inline_args;
  if (total > kInlineArguments && (slots = argument_slots(total)) == nullptr) [[unlikely]] {
    return false;
  }
  for (Py_ssize_t i = 0; i < total; ++i) {
    slots[i + 1] = Py_NewRef(args[i]);
  }
  self->args = slots + 1;
  self->nargs = nargs;
  self->ntotal = total;
  self->kwnames = Py_XNewRef(kwnames);
  return true;
}

// "coroutine 'f' was never awaited", of a call that has not called its function.
void warn_never_awaited(CallFrame* self);

extern PyGetSetDef call_properties[];
PyObject* call_repr(PyObject* self);

}  // namespace resilience::bindings
