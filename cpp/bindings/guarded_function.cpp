// A function under a guard: callable, bound as a method when read from an instance, and in every look at it
// (signature, code flags, name, docstring, annotations) the function it wraps.

#include <Python.h>
#include <structmember.h>

#include "bypass.hpp"
#include "guard.hpp"

namespace resilience::bindings {

namespace {

struct GuardedFunction {
  PyObject_HEAD vectorcallfunc vectorcall;
  Guard* guard;
  PyObject* wrapped;
  PyObject* stream;  // makes the object that drives a generator
  PyObject* dict;
  PyObject* weakrefs;
};

PyTypeObject function_type;

GuardedFunction* as_function(PyObject* self) { return reinterpret_cast<GuardedFunction*>(self); }

PyObject* call_awaitable(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const GuardedFunction* function = as_function(self);
  if (bypassed()) [[unlikely]] {
    return PyObject_Vectorcall(function->wrapped, args, nargsf, kwnames);
  }
  return make_guarded_call(function->guard, function->wrapped, args, PyVectorcall_NARGS(nargsf), kwnames);
}

PyObject* call_coroutine_function(PyObject* self, PyObject* const* args, std::size_t nargsf,
                                  PyObject* kwnames) {
  const GuardedFunction* function = as_function(self);
  if (bypassed()) [[unlikely]] {
    return PyObject_Vectorcall(function->wrapped, args, nargsf, kwnames);
  }
  return make_started_call(function->guard, function->wrapped, args, nargsf, kwnames);
}

PyObject* call_plain_function(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const GuardedFunction* function = as_function(self);
  return call_plain(function->guard, function->wrapped, args, nargsf, kwnames);
}

// Streams are driven in Python: stream(guard, function, args, kwargs).
PyObject* call_stream(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const GuardedFunction* function = as_function(self);
  if (bypassed()) {
    return PyObject_Vectorcall(function->wrapped, args, nargsf, kwnames);
  }
  const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  PyObject* positional = PyTuple_New(nargs);
  PyObject* keywords = PyDict_New();
  PyObject* result = nullptr;
  if (positional != nullptr && keywords != nullptr) {
    for (Py_ssize_t i = 0; i < nargs; ++i) {
      PyTuple_SET_ITEM(positional, i, Py_NewRef(args[i]));
    }
    const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    bool complete = true;
    for (Py_ssize_t i = 0; i < named && complete; ++i) {
      complete = PyDict_SetItem(keywords, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) == 0;
    }
    if (complete) {
      result = PyObject_CallFunctionObjArgs(function->stream, reinterpret_cast<PyObject*>(function->guard),
                                            function->wrapped, positional, keywords, nullptr);
    }
  }
  Py_XDECREF(positional);
  Py_XDECREF(keywords);
  return result;
}

PyObject* function_get(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  return instance == nullptr || instance == Py_None ? Py_NewRef(self) : PyMethod_New(self, instance);
}

// What isn't set on the wrapper is the wrapped function's: __code__, __defaults__, __globals__ and so on.
PyObject* function_getattro(PyObject* self, PyObject* name) {
  PyObject* value = PyObject_GenericGetAttr(self, name);
  if (value != nullptr || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
    return value;
  }
  PyErr_Clear();
  return PyObject_GetAttr(as_function(self)->wrapped, name);
}

PyObject* forward(PyObject* self, const char* name) {
  return PyObject_GetAttrString(as_function(self)->wrapped, name);
}
PyObject* get_doc(PyObject* self, void* /*unused*/) { return forward(self, "__doc__"); }
PyObject* get_module(PyObject* self, void* /*unused*/) { return forward(self, "__module__"); }

PyObject* function_repr(PyObject* self) {
  return PyUnicode_FromFormat("<guarded %R>", as_function(self)->wrapped);
}

// Pickled and copied by name, as functions are.
PyObject* method_reduce(PyObject* self, PyObject* /*unused*/) { return forward(self, "__qualname__"); }

int function_traverse(PyObject* self, visitproc visit, void* arg) {
  const GuardedFunction* function = as_function(self);
  Py_VISIT(reinterpret_cast<PyObject*>(function->guard));
  Py_VISIT(function->wrapped);
  Py_VISIT(function->stream);
  Py_VISIT(function->dict);
  return 0;
}

int function_clear(PyObject* self) {
  GuardedFunction* function = as_function(self);
  Py_CLEAR(function->dict);
  return 0;
}

void function_dealloc(PyObject* self) {
  GuardedFunction* function = as_function(self);
  PyObject_GC_UnTrack(self);
  if (function->weakrefs != nullptr) {
    PyObject_ClearWeakRefs(self);
  }
  Py_XDECREF(reinterpret_cast<PyObject*>(function->guard));
  Py_XDECREF(function->wrapped);
  Py_XDECREF(function->stream);
  Py_XDECREF(function->dict);
  PyObject_GC_Del(self);
}

PyMethodDef methods[] = {{"__reduce__", method_reduce, METH_NOARGS, "The function's qualified name."},
                         {nullptr}};
PyGetSetDef properties[] = {{"__doc__", get_doc},
                            {"__module__", get_module},
                            {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
                            {nullptr}};
PyMemberDef members[] = {
    {"__wrapped__", T_OBJECT, offsetof(GuardedFunction, wrapped), READONLY,
     "The function as it was before it was guarded."},
    {"__guard__", T_OBJECT, offsetof(GuardedFunction, guard), READONLY, "What guards it."},
    {nullptr}};

}  // namespace

PyObject* make_guarded_function(Guard* guard, PyObject* function, FunctionKind kind, PyObject* stream) {
  GuardedFunction* self = PyObject_GC_New(GuardedFunction, &function_type);
  if (self == nullptr) {
    return nullptr;
  }
  switch (kind) {
    case FunctionKind::kCoroutine:
      self->vectorcall = makes_coroutine(function) ? call_coroutine_function : call_awaitable;
      break;
    case FunctionKind::kPlain:
      self->vectorcall = call_plain_function;
      break;
    case FunctionKind::kAsyncGenerator:
    case FunctionKind::kGenerator:
      self->vectorcall = call_stream;
      break;
  }
  self->guard = reinterpret_cast<Guard*>(Py_NewRef(reinterpret_cast<PyObject*>(guard)));
  self->wrapped = Py_NewRef(function);
  self->stream = Py_XNewRef(stream);
  self->dict = nullptr;
  self->weakrefs = nullptr;
  PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
  return reinterpret_cast<PyObject*>(self);
}

bool init_guarded_function(PyObject* module) {
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&function_type), 1);
  function_type.tp_name = "resilience._core.GuardedFunction";
  function_type.tp_basicsize = sizeof(GuardedFunction);
  function_type.tp_flags =
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
  function_type.tp_vectorcall_offset = offsetof(GuardedFunction, vectorcall);
  function_type.tp_dictoffset = offsetof(GuardedFunction, dict);
  function_type.tp_weaklistoffset = offsetof(GuardedFunction, weakrefs);
  function_type.tp_call = PyVectorcall_Call;
  function_type.tp_descr_get = function_get;
  function_type.tp_getattro = function_getattro;
  function_type.tp_repr = function_repr;
  function_type.tp_traverse = function_traverse;
  function_type.tp_clear = function_clear;
  function_type.tp_dealloc = function_dealloc;
  function_type.tp_methods = methods;
  function_type.tp_getset = properties;
  function_type.tp_members = members;
  if (PyType_Ready(&function_type) < 0) {
    return false;
  }
  return PyModule_AddObjectRef(module, "GuardedFunction", reinterpret_cast<PyObject*>(&function_type)) == 0;
}

}  // namespace resilience::bindings
