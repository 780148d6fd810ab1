// One guarded call: a coroutine in all but its type.
//
// Calling a coroutine function runs nothing of it, so its coroutine is made with the call, as `f(x)` itself
// would; any other function, and any call whose arguments are needed again, keeps the arguments until its
// first step.
//
// The first step admits, calls the function and steps what it returned; as long as the function doesn't
// suspend, all of it happens in that one step and no Python frame stands between the caller and the function.
// Results, errors, close() and collection all end in settling the run, exactly once.
#include <cstddef>

#include "awaitable.hpp"
#include "errors.hpp"
#include "guard.hpp"

namespace resilience::bindings {

namespace {

constexpr Py_ssize_t kInlineArguments = 6;

enum class Phase : unsigned char { created, running, suspended, closed };

struct GuardedCall {
  PyObject_HEAD Guard* guard;
  PyObject* function;  // with arguments still to be called; null when `inner` is the function's own coroutine
  PyObject* inner;     // the iterator being stepped, once there is one
  PyObject* kwnames;
  PyObject** args;    // inline_args + 1, or memory of its own; args[-1] is free for the callee
  Py_ssize_t nargs;   // positional
  Py_ssize_t ntotal;  // with keywords
  PyObject* weakrefs;
  BreakerRun run;
  Phase phase;
  bool admitted;   // the run is to be settled
  bool finalized;  // Python finalizes an object once, so this one can't be used again
  PyObject* inline_args[kInlineArguments + 1];
};

PyTypeObject call_type;
FreeList<GuardedCall, 64> calls;

GuardedCall* as_call(PyObject* self) { return reinterpret_cast<GuardedCall*>(self); }

void drop_arguments(GuardedCall* self) {
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
void finish(GuardedCall* self) {
  self->phase = Phase::closed;
  drop_arguments(self);
  if (self->function != nullptr) {
    Py_CLEAR(self->inner);
  }
}

PySendResult fail(GuardedCall* self) {
  if (self->admitted) {
    self->admitted = false;
    settle_error(*self->guard->plan.breaker, self->run);
  }
  finish(self);
  return PYGEN_ERROR;
}

PySendResult succeed(GuardedCall* self, PyObject* result) {
  if (self->admitted) {
    self->admitted = false;
    settle_result(*self->guard->plan.breaker, self->run, result);
  }
  finish(self);
  return PYGEN_RETURN;
}

PySendResult conclude(GuardedCall* self, PySendResult outcome, PyObject* result) {
  switch (outcome) {
    case PYGEN_NEXT:
      self->phase = Phase::suspended;
      return PYGEN_NEXT;
    case PYGEN_RETURN:
      return succeed(self, result);
    case PYGEN_ERROR:
      break;
  }
  return fail(self);
}

PyObject* call_function(GuardedCall* self, PyObject* function) {
  return PyObject_Vectorcall(function, self->args,
                             static_cast<std::size_t>(self->nargs) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                             self->kwnames);
}

// Steps what a function returned for the first time.
PySendResult start_awaitable(GuardedCall* self, PyObject* awaitable, PyObject** result) {
  self->inner = await_iterator(awaitable);
  Py_DECREF(awaitable);
  if (self->inner == nullptr) {
    return fail(self);
  }
  const PySendResult outcome = step(self->inner, Py_None, result);
  return conclude(self, outcome, *result);
}

// The call was rejected, with the error set now: the fallback answers, when there is one.
PySendResult fall_back(GuardedCall* self, PyObject** result) {
  if (self->function == nullptr) {  // the coroutine was made and will not run
    PyObject* error = take_error();
    if (!close_iterator(self->inner)) {
      PyErr_WriteUnraisable(self->inner);
    }
    put_error(error);
  }
  const Plan& plan = self->guard->plan;
  if (plan.fallback == nullptr) {
    return fail(self);
  }
  PyErr_Clear();
  if (!plan.fallback_callable) {
    *result = Py_NewRef(plan.fallback);
    return succeed(self, *result);
  }
  PyObject* answer = call_function(self, plan.fallback);
  if (answer == nullptr) {
    return fail(self);
  }
  drop_arguments(self);
  const PyAsyncMethods* methods = Py_TYPE(answer)->tp_as_async;
  if (methods != nullptr && methods->am_await != nullptr) {
    return start_awaitable(self, answer, result);
  }
  *result = answer;
  return succeed(self, answer);
}

PySendResult start(GuardedCall* self, PyObject** result) {
  BreakerLayer* breaker = self->guard->plan.breaker;
  if (breaker != nullptr) {
    if (!admit(*breaker, self->run)) [[unlikely]] {
      return fall_back(self, result);
    }
    self->admitted = true;
  }
  if (self->function == nullptr) [[likely]] {
    const PySendResult outcome = PyCoro_Type.tp_as_async->am_send(self->inner, Py_None, result);
    return conclude(self, outcome, *result);
  }
  PyObject* awaitable = call_function(self, self->function);
  if (awaitable == nullptr) {
    return fail(self);
  }
  drop_arguments(self);
  return start_awaitable(self, awaitable, result);
}

PySendResult call_send(PyObject* object, PyObject* value, PyObject** result) {
  GuardedCall* self = as_call(object);
  *result = nullptr;
  switch (self->phase) {
    case Phase::created:
      if (value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
      }
      self->phase = Phase::running;
      return start(self, result);
    case Phase::suspended: {
      self->phase = Phase::running;
      const PySendResult outcome = step(self->inner, value, result);
      return conclude(self, outcome, *result);
    }
    case Phase::running:
      PyErr_SetString(PyExc_ValueError, "coroutine already executing");
      return PYGEN_ERROR;
    case Phase::closed:
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
  if (as_call(self)->phase == Phase::suspended) {
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
  GuardedCall* self = as_call(object);
  if (nargs < 1 || nargs > 3) {
    PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", nargs);
    return nullptr;
  }
  if (self->phase == Phase::running) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return nullptr;
  }
  if (self->phase == Phase::closed) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return nullptr;
  }
  self->phase = Phase::running;
  PyObject* result = nullptr;
  const PySendResult outcome = throw_into(self->inner, args, nargs, &result);
  return as_method_result(conclude(self, outcome, result), result);
}

// Ends the call from outside. False with an exception set when the function refused to end.
bool close_call(GuardedCall* self) {
  if (self->inner == nullptr || self->phase == Phase::closed) {
    finish(self);
    return true;
  }
  self->phase = Phase::running;
  const bool closed = close_iterator(self->inner);
  if (self->admitted) {
    self->admitted = false;
    if (closed) {
      settle_release(*self->guard->plan.breaker, self->run);
    } else {
      settle_error(*self->guard->plan.breaker, self->run);
    }
  }
  finish(self);
  return closed;
}

PyObject* method_close(PyObject* self, PyObject* /*unused*/) {
  if (as_call(self)->phase == Phase::running) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return nullptr;
  }
  return close_call(as_call(self)) ? Py_NewRef(Py_None) : nullptr;
}

void call_finalize(PyObject* object) {
  GuardedCall* self = as_call(object);
  self->finalized = true;
  if (self->phase == Phase::closed) {
    return;
  }
  PyObject* pending = take_error();
  if (self->phase == Phase::suspended) {
    if (!close_call(self)) {
      PyErr_WriteUnraisable(object);
    }
  } else if (self->function != nullptr) {  // else the coroutine warns by itself
    PyObject* name = PyObject_GetAttrString(object, "__qualname__");
    if (name == nullptr ||
        PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%S' was never awaited", name) < 0) {
      PyErr_WriteUnraisable(object);
    }
    Py_XDECREF(name);
  }
  finish(self);
  put_error(pending);
}

int call_traverse(PyObject* object, visitproc visit, void* arg) {
  GuardedCall* self = as_call(object);
  Py_VISIT(reinterpret_cast<PyObject*>(self->guard));
  Py_VISIT(self->function);
  Py_VISIT(self->inner);
  if (self->args != nullptr) {
    for (Py_ssize_t i = 0; i < self->ntotal; ++i) {
      Py_VISIT(self->args[i]);
    }
  }
  return 0;
}

// Cycles through a call are broken at its arguments and what it waits for; what names it stays.
int call_clear(PyObject* object) {
  GuardedCall* self = as_call(object);
  drop_arguments(self);
  Py_CLEAR(self->inner);
  return 0;
}

void call_dealloc(PyObject* object) {
  GuardedCall* self = as_call(object);
  if (self->phase != Phase::closed) {
    if (PyObject_CallFinalizerFromDealloc(object) < 0) {
      return;  // somebody holds it again
    }
  }
  if (self->weakrefs != nullptr) {
    PyObject_ClearWeakRefs(object);
  }
  drop_arguments(self);
  Py_CLEAR(self->inner);
  Py_CLEAR(self->function);
  Guard* guard = self->guard;
  self->guard = nullptr;
  self->phase = Phase::closed;
  if (self->finalized || !calls.give(self)) {
    PyObject_GC_UnTrack(object);
    PyObject_GC_Del(self);
  }
  Py_XDECREF(reinterpret_cast<PyObject*>(guard));
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

PyObject* get_frame(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_frame"); }
PyObject* get_await(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_await"); }
PyObject* get_origin(PyObject* self, void* /*unused*/) { return from_inner(self, "cr_origin"); }
// What knows the names: the function, or its coroutine; None for an object that waits for its next use.
PyObject* named(PyObject* object) {
  const GuardedCall* self = as_call(object);
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
  return PyBool_FromLong(as_call(self)->phase == Phase::running ? 1 : 0);
}
PyObject* get_suspended(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_call(self)->phase == Phase::suspended ? 1 : 0);
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

PyObject* call_repr(PyObject* self) {
  PyObject* name = get_qualname(self, nullptr);
  PyObject* text = name == nullptr ? nullptr : PyUnicode_FromFormat("<guarded call %S at %p>", name, self);
  Py_XDECREF(name);
  return text;
}

PyMethodDef methods[] = {
    {"send", method_send, METH_O, "send(value): resume the call and return what it yields next."},
    {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method_throw)), METH_FASTCALL,
     "throw(exception): raise inside the call and return what it yields next."},
    {"close", method_close, METH_NOARGS, "close(): end the call, releasing what it holds."},
    {nullptr}};

PyGetSetDef properties[] = {
    {"__name__", get_name},      {"__qualname__", get_qualname},  {"cr_await", get_await},
    {"cr_frame", get_frame},     {"cr_code", get_code},           {"cr_origin", get_origin},
    {"cr_running", get_running}, {"cr_suspended", get_suspended}, {nullptr}};

GuardedCall* new_call() {
  GuardedCall* self = PyObject_GC_New(GuardedCall, &call_type);
  if (self != nullptr) {
    self->guard = nullptr;
    self->function = nullptr;
    self->inner = nullptr;
    self->kwnames = nullptr;
    self->args = nullptr;
    self->weakrefs = nullptr;
    self->phase = Phase::closed;
    self->admitted = false;
    self->finalized = false;
    PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
  }
  return self;
}

PyAsyncMethods async_methods = {call_await, nullptr, nullptr, call_send};

}  // namespace

bool makes_coroutine(PyObject* function) {
  if (!PyFunction_Check(function)) {
    return false;
  }
  const auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
  return (code->co_flags & CO_COROUTINE) != 0;
}

PyObject* make_started_call(Guard* guard, PyObject* function, PyObject* const* args, std::size_t nargsf,
                            PyObject* kwnames) {
  if (guard->plan.keeps_arguments) {
    return make_guarded_call(guard, function, args, PyVectorcall_NARGS(nargsf), kwnames);
  }
  PyObject* coroutine =
      reinterpret_cast<PyFunctionObject*>(function)->vectorcall(function, args, nargsf, kwnames);
  if (coroutine == nullptr) {
    return nullptr;
  }
  GuardedCall* self = calls.take();
  if (self == nullptr && (self = new_call()) == nullptr) {
    Py_DECREF(coroutine);
    return nullptr;
  }
  self->guard = reinterpret_cast<Guard*>(Py_NewRef(reinterpret_cast<PyObject*>(guard)));
  self->inner = coroutine;
  self->phase = Phase::created;
  return reinterpret_cast<PyObject*>(self);
}

PyObject* make_guarded_call(Guard* guard, PyObject* function, PyObject* const* args, Py_ssize_t nargs,
                            PyObject* kwnames) {
  GuardedCall* self = calls.take();
  if (self == nullptr && (self = new_call()) == nullptr) {
    return nullptr;
  }
  const Py_ssize_t total = nargs + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames));
  PyObject** slots = self->inline_args;
  if (total > kInlineArguments) [[unlikely]] {
    slots = static_cast<PyObject**>(PyMem_Malloc(sizeof(PyObject*) * static_cast<std::size_t>(total + 1)));
    if (slots == nullptr) {
      Py_DECREF(reinterpret_cast<PyObject*>(self));
      return PyErr_NoMemory();
    }
  }
  for (Py_ssize_t i = 0; i < total; ++i) {
    slots[i + 1] = Py_NewRef(args[i]);
  }
  self->args = slots + 1;
  self->nargs = nargs;
  self->ntotal = total;
  self->kwnames = Py_XNewRef(kwnames);
  self->guard = reinterpret_cast<Guard*>(Py_NewRef(reinterpret_cast<PyObject*>(guard)));
  self->function = Py_NewRef(function);
  self->phase = Phase::created;
  return reinterpret_cast<PyObject*>(self);
}

bool init_guarded_call(PyObject* module) {
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&call_type), 1);
  call_type.tp_name = "resilience._core.GuardedCall";
  call_type.tp_doc =
      "One call of a guarded function; awaitable once, and a coroutine in every other respect.";
  call_type.tp_basicsize = sizeof(GuardedCall);
  call_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC;
  call_type.tp_dealloc = call_dealloc;
  call_type.tp_traverse = call_traverse;
  call_type.tp_clear = call_clear;
  call_type.tp_finalize = call_finalize;
  call_type.tp_weaklistoffset = offsetof(GuardedCall, weakrefs);
  call_type.tp_repr = call_repr;
  call_type.tp_as_async = &async_methods;
  call_type.tp_iter = PyObject_SelfIter;
  call_type.tp_iternext = call_iternext;
  call_type.tp_methods = methods;
  call_type.tp_getset = properties;
  if (PyType_Ready(&call_type) < 0) {
    return false;
  }
  return PyModule_AddObjectRef(module, "GuardedCall", reinterpret_cast<PyObject*>(&call_type)) == 0;
}

}  // namespace resilience::bindings
