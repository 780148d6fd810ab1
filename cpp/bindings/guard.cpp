#include "guard.hpp"

#include "bypass.hpp"
#include "errors.hpp"
#include "policy_layer.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyTypeObject* type = nullptr;
PyTypeObject* partial_type = nullptr;  // functools.partial

Guard* as_guard(PyObject* self) { return reinterpret_cast<Guard*>(self); }

bool takes_function(PyObject* const* args, Py_ssize_t nargs, const char* method) {
  if (nargs > 0 && PyCallable_Check(args[0]) != 0) [[likely]] {
    return true;
  }
  const char* given = nargs > 0 ? Py_TYPE(args[0])->tp_name : "nothing";
  PyErr_Format(PyExc_TypeError, "%s() takes the function to call as its first argument, got %.100s", method,
               given);
  return false;
}

PyObject* guard_call(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (!takes_function(args, nargs, "call")) {
    return nullptr;
  }
  const std::size_t nargsf = static_cast<std::size_t>(nargs - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET;
  if (bypassed()) [[unlikely]] {
    return PyObject_Vectorcall(args[0], args + 1, nargsf, kwnames);
  }
  if (makes_coroutine(args[0])) {
    return make_started_call(as_guard(self), args[0], args + 1, nargsf, kwnames);
  }
  return make_guarded_call(as_guard(self), args[0], args + 1, nargs - 1, kwnames);
}

// An attribute (new reference), or null without an exception.
PyRef attribute(PyObject* object, const char* name) {
  PyRef value(PyObject_GetAttrString(object, name));
  PyErr_Clear();
  return value;
}

// The flags of the code that runs when it is called: of a function, bound or wrapped or in a partial, or of
// an object's `__call__`; 0 for what has none.
long code_flags(PyObject* function) {
  if (PyFunction_Check(function)) {
    return reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function))->co_flags;
  }
  if (PyCFunction_Check(function)) {
    return 0;
  }
  PyRef callee = PyRef::share(function);
  PyRef code = attribute(callee.get(), "__code__");  // of methods and wrappers it is the function's
  while (!code && PyObject_TypeCheck(callee.get(), partial_type)) {
    callee = attribute(callee.get(), "func");
    code = attribute(callee.get(), "__code__");
  }
  if (!code) {
    const PyRef call = attribute(reinterpret_cast<PyObject*>(Py_TYPE(callee.get())), "__call__");
    code = call ? attribute(call.get(), "__code__") : PyRef();
  }
  const PyRef flags = code ? attribute(code.get(), "co_flags") : PyRef();
  return flags && PyLong_Check(flags.get()) ? PyLong_AsLong(flags.get()) : 0;
}

// Whether it makes its result when it is called; an exception says what to do with one that doesn't.
bool is_plain(PyObject* function) {
  const long flags = code_flags(function);
  if ((flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE)) != 0) {
    PyErr_Format(PyExc_TypeError, "call_sync() takes a plain function, use `await call()` for %R", function);
    return false;
  }
  if ((flags & (CO_GENERATOR | CO_ASYNC_GENERATOR)) != 0) {
    PyErr_Format(PyExc_TypeError, "call_sync() takes a plain function, decorate one that makes a stream: %R",
                 function);
    return false;
  }
  return true;
}

PyObject* guard_call_sync(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (!takes_function(args, nargs, "call_sync")) {
    return nullptr;
  }
  if (!is_plain(args[0])) {
    return nullptr;
  }
  const std::size_t nargsf = static_cast<std::size_t>(nargs - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET;
  return call_plain(as_guard(self), args[0], args + 1, nargsf, kwnames);
}

PyObject* guard_wrap(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3) {
    PyErr_SetString(PyExc_TypeError, "_wrap() takes a function, its kind and its stream driver");
    return nullptr;
  }
  const long kind = PyLong_AsLong(args[1]);
  if (kind == -1 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  return make_guarded_function(as_guard(self), args[0], static_cast<FunctionKind>(kind),
                               args[2] == Py_None ? nullptr : args[2]);
}

int guard_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(reinterpret_cast<PyObject*>(Py_TYPE(self)));
  return traverse_plan(as_guard(self)->plan, visit, arg);
}

int guard_clear(PyObject* self) {
  clear_plan(as_guard(self)->plan);
  return 0;
}

void guard_dealloc(PyObject* self) {
  PyTypeObject* own_type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear_plan(as_guard(self)->plan);
  own_type->tp_free(self);
  Py_DECREF(reinterpret_cast<PyObject*>(own_type));
}

template <typename Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"call", method(guard_call), METH_FASTCALL | METH_KEYWORDS,
     "call($self, fn, /, *args, **kwargs)\n--\n\nAwait `fn(*args, **kwargs)` under this policy.\n\n"
     "Raises:\n    TypeError: when `fn` returns nothing to await; that counts for nothing."},
    {"call_sync", method(guard_call_sync), METH_FASTCALL | METH_KEYWORDS,
     "call_sync($self, fn, /, *args, **kwargs)\n--\n\nCall the plain function `fn(*args, **kwargs)` under "
     "this policy.\n\n"
     "Raises:\n    TypeError: when `fn` is an async function or makes a stream; nothing has run then."},
    {"_wrap", method(guard_wrap), METH_FASTCALL,
     "_wrap($self, fn, kind, stream, /)\n--\n\nThe function under this policy."},
    {nullptr}};

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Base of every policy that wraps functions.")},
                       {Py_tp_traverse, reinterpret_cast<void*>(guard_traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(guard_clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(guard_dealloc)},
                       {Py_tp_methods, methods},
                       {0, nullptr}};

PyType_Spec spec = {"resilience._core.Guard", sizeof(Guard), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

PyObject* fall_back_plain(const Plan& plan, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  if (plan.fallback == nullptr) {
    return nullptr;
  }
  PyErr_Clear();
  return plan.fallback_callable ? answer_plain(plan.fallback, args, nargsf, kwnames)
                                : Py_NewRef(plan.fallback);
}

}  // namespace

PyTypeObject* guard_type() { return type; }

PyObject* answer_plain(PyObject* fallback, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  PyRef answer(PyObject_Vectorcall(fallback, args, nargsf, kwnames));
  if (!answer || !PyCoro_CheckExact(answer.get())) {
    return answer.release();
  }
  const PyRef closed(PyObject_CallMethod(answer.get(), "close", nullptr));
  if (closed) {
    PyErr_SetString(PyExc_TypeError, "an async fallback can't answer for a plain function");
  }
  return nullptr;
}

PyObject* call_plain(Guard* guard, PyObject* function, PyObject* const* args, std::size_t nargsf,
                     PyObject* kwnames) {
  if (bypassed()) [[unlikely]] {
    return PyObject_Vectorcall(function, args, nargsf, kwnames);
  }
  if (guard->plan.policies != nullptr) {
    const PyRef keep = PyRef::share(reinterpret_cast<PyObject*>(guard));  // it owns what the call asks
    PolicyLayer* layer = use(guard->plan.policies);
    PyObject* result = call_plain_under(*layer, function, args, nargsf, kwnames);
    leave(layer);
    return result;
  }
  BreakerLayer* breaker = guard->plan.breaker;
  if (breaker == nullptr) {
    return PyObject_Vectorcall(function, args, nargsf, kwnames);
  }
  BreakerRun run;
  if (!admit(*breaker, run)) {
    return fall_back_plain(guard->plan, args, nargsf, kwnames);
  }
  Py_INCREF(reinterpret_cast<PyObject*>(guard));  // the function may drop the last other reference
  PyObject* result = PyObject_Vectorcall(function, args, nargsf, kwnames);
  if (result != nullptr) {
    settle_result(*breaker, run, result);
  } else {
    settle_error(*breaker, run);
  }
  Py_DECREF(reinterpret_cast<PyObject*>(guard));
  return result;
}

int traverse_plan(const Plan& plan, visitproc visit, void* arg) {
  Py_VISIT(plan.breaker_owner);
  Py_VISIT(plan.fallback);
  return plan.policies == nullptr ? 0 : traverse_layer(*plan.policies, visit, arg);
}

void clear_plan(Plan& plan) {
  Py_CLEAR(plan.breaker_owner);
  Py_CLEAR(plan.fallback);
  if (PolicyLayer* policies = std::exchange(plan.policies, nullptr)) {
    leave(policies);
  }
}

bool init_guard(PyObject* module) {
  const PyRef functools(PyImport_ImportModule("functools"));
  partial_type = reinterpret_cast<PyTypeObject*>(
      functools ? PyObject_GetAttrString(functools.get(), "partial") : nullptr);
  if (partial_type == nullptr) {
    return false;
  }
  type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return type != nullptr && PyModule_AddObjectRef(module, "Guard", reinterpret_cast<PyObject*>(type)) == 0;
}

}  // namespace resilience::bindings
