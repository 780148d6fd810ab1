#include "cached_function.hpp"

#include <structmember.h>

#include "bypass.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyTypeObject function_type;

CachedFunction& as_function(PyObject* self) { return *reinterpret_cast<CachedFunction*>(self); }

// The value under a slot when it is a fresh result; counted.
PyObject* take_hit(const CachedFunction& function, Slot slot, Nanos now) {
  CacheObject& cache = *function.cache;
  if (slot == kNoSlot || !cache.cache->fresh(slot, now)) {
    return nullptr;
  }
  auto* value = reinterpret_cast<PyObject*>(cache.cache->value(slot));
  if (reinterpret_cast<PyObject*>(Py_TYPE(value)) == function.special) {
    return nullptr;
  }
  Py_INCREF(value);
  cache.cache->hit(slot, now);
  return value;
}

// The result under a hash and what is `same` as its key, as a hit; null when there is none, or with an
// exception set.
template <typename Compare>
PyObject* find_kept(const CachedFunction& function, Py_hash_t hash, const Compare& same) {
  if (function.cache == nullptr) {
    return nullptr;
  }
  CacheObject& cache = *function.cache;
  const Nanos now = expiry_now(cache);
  expire_if_due(cache, now);
  Slot slot = kNoSlot;
  if (!find_slot(*cache.cache, cache.cache->mix(static_cast<std::uint64_t>(hash)), same, slot)) {
    return nullptr;
  }
  return take_hit(function, slot, now);
}

PyObject* find_by_key(const CachedFunction& function, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* kwnames, PyObject** key) {
  PyRef made(PyObject_Vectorcall(function.key_function, args, static_cast<std::size_t>(nargs), kwnames));
  const Py_hash_t hash = made ? hash_of(made.get()) : -1;
  if (hash == -1) {
    return nullptr;
  }
  PyObject* value =
      find_kept(function, hash, [&made](PyObject* known) { return same_key(known, made.get()); });
  if (value == nullptr && PyErr_Occurred() == nullptr) {
    *key = made.release();
  }
  return value;
}

PyObject* find_by_arguments(const CachedFunction& function, PyObject* const* args, Py_ssize_t nargs,
                            PyObject* kwnames, PyObject** key) {
  BoundItems bound;
  if (!bind_items(function.plan, args, nargs, kwnames, bound)) {
    return nullptr;
  }
  PyObject* value = find_kept(function, bound.hash,
                              [&](PyObject* known) { return same_call(known, function.plan, bound); });
  if (value == nullptr && PyErr_Occurred() == nullptr) {
    *key = make_call_key(function.plan, bound);
  }
  return value;
}

PyObject* call_coroutine(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  if (bypassed()) [[unlikely]] {
    return PyObject_Vectorcall(as_function(self).wrapped, args, nargsf, kwnames);
  }
  return make_cached_call(&as_function(self), args, PyVectorcall_NARGS(nargsf), kwnames);
}

PyObject* call_plain(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  CachedFunction& function = as_function(self);
  if (bypassed()) [[unlikely]] {
    return PyObject_Vectorcall(function.wrapped, args, nargsf, kwnames);
  }
  const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  PyObject* raw_key = nullptr;
  PyObject* value = find_cached(function, args, nargs, kwnames, &raw_key);
  const PyRef key(raw_key);
  if (value != nullptr || !key) {
    return value;
  }
  const PyRef positional(positional_of(args, nargs));
  const PyRef keywords(keywords_of(args, nargs, kwnames));
  if (!positional || !keywords) {
    return nullptr;
  }
  return PyObject_CallFunctionObjArgs(function.load, key.get(), positional.get(), keywords.get(), nullptr);
}

// The key of a call, as the cache holds it.
PyObject* method_key(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const CachedFunction& function = as_function(self);
  if (function.key_function != nullptr) {
    return PyObject_Vectorcall(function.key_function, args, static_cast<std::size_t>(nargs), kwnames);
  }
  BoundItems bound;
  return bind_items(function.plan, args, nargs, kwnames, bound) ? make_call_key(function.plan, bound)
                                                                : nullptr;
}

// Defined in a class: the first argument is the instance, which a key must not keep alive.
PyObject* method_set_name(PyObject* self, PyObject* const* /*args*/, Py_ssize_t /*nargs*/) {
  KeyPlan& plan = as_function(self).plan;
  plan.weak_first =
      plan.positional > 0 && (plan.kept == nullptr || PyTuple_GET_ITEM(plan.kept, 0) == Py_True);
  Py_RETURN_NONE;
}

PyObject* function_get(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr || instance == Py_None) {
    return Py_NewRef(self);
  }
  return PyObject_CallFunctionObjArgs(as_function(self).bind, self, instance, nullptr);
}

// What isn't set on the wrapper is the wrapped function's: __code__, __defaults__, __globals__ and so on.
PyObject* function_getattro(PyObject* self, PyObject* name) {
  PyObject* value = PyObject_GenericGetAttr(self, name);
  if (value != nullptr || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
    return value;
  }
  PyErr_Clear();
  return PyObject_GetAttr(as_function(self).wrapped, name);
}

PyObject* forward(PyObject* self, const char* name) {
  return PyObject_GetAttrString(as_function(self).wrapped, name);
}
PyObject* get_doc(PyObject* self, void* /*unused*/) { return forward(self, "__doc__"); }
PyObject* get_module(PyObject* self, void* /*unused*/) { return forward(self, "__module__"); }
PyObject* method_reduce(PyObject* self, PyObject* /*unused*/) { return forward(self, "__qualname__"); }
PyObject* function_repr(PyObject* self) {
  return PyUnicode_FromFormat("<cached %R>", as_function(self).wrapped);
}

int function_traverse(PyObject* self, visitproc visit, void* arg) {
  const CachedFunction& function = as_function(self);
  Py_VISIT(reinterpret_cast<PyObject*>(function.cache));
  Py_VISIT(function.wrapped);
  Py_VISIT(function.key_function);
  Py_VISIT(function.load);
  Py_VISIT(function.special);
  Py_VISIT(function.bind);
  Py_VISIT(function.dict);
  return function.plan.traverse(visit, arg);
}

// Only what may be missing afterwards; the rest goes with the object.
int function_clear(PyObject* self) {
  Py_CLEAR(as_function(self).dict);
  return 0;
}

void function_dealloc(PyObject* self) {
  CachedFunction& function = as_function(self);
  PyObject_GC_UnTrack(self);
  if (function.weakrefs != nullptr) {
    PyObject_ClearWeakRefs(self);
  }
  Py_XDECREF(reinterpret_cast<PyObject*>(function.cache));
  for (PyObject* field : {function.wrapped, function.key_function, function.load, function.special,
                          function.bind, function.dict}) {
    Py_XDECREF(field);
  }
  function.plan.clear();
  PyObject_GC_Del(self);
}

template <typename Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"__reduce__", method_reduce, METH_NOARGS, "The function's qualified name."},
    {"__set_name__", as_method(method_set_name), METH_FASTCALL, "Called when a class body has defined it."},
    {"_key", as_method(method_key), METH_FASTCALL | METH_KEYWORDS, "The key of a call with these arguments."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef properties[] = {{"__doc__", get_doc, nullptr, nullptr, nullptr},
                            {"__module__", get_module, nullptr, nullptr, nullptr},
                            {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMemberDef members[] = {{"__wrapped__", T_OBJECT, offsetof(CachedFunction, wrapped), READONLY,
                          "The function as it was before it was cached."},
                         {nullptr, 0, 0, 0, nullptr}};

PyObject* none_as_null(PyObject* object) { return object == Py_None ? nullptr : Py_NewRef(object); }

// (wrapped, awaits, cache, key_function, load, special, bind, plan) with plan the tuple
// (scope, names, defaults, required, kept, bind_slowly, describe, positional, simple).
PyObject* make_cached_function(PyObject* /*module*/, PyObject* args) {
  PyObject* wrapped;
  PyObject* cache;
  PyObject* key_function;
  PyObject* load;
  PyObject* special;
  PyObject* bind;
  PyObject* scope;
  PyObject* names;
  PyObject* defaults;
  PyObject* required;
  PyObject* kept;
  PyObject* bind_slowly;
  PyObject* describe;
  int awaits = 0;
  int simple = 0;
  Py_ssize_t positional = 0;
  if (!PyArg_ParseTuple(args, "OpOOOOO(OO!O!OOOOnp)", &wrapped, &awaits, &cache, &key_function, &load,
                        &special, &bind, &scope, &PyTuple_Type, &names, &PyTuple_Type, &defaults, &required,
                        &kept, &bind_slowly, &describe, &positional, &simple)) {
    return nullptr;
  }
  if (cache != Py_None &&
      (PyObject_TypeCheck(cache, cache_type()) == 0 || as_cache(cache)->cache == nullptr)) {
    PyErr_SetString(PyExc_TypeError, "cache must be an initialised CacheBase or None");
    return nullptr;
  }
  CachedFunction* self = PyObject_GC_New(CachedFunction, &function_type);
  if (self == nullptr) {
    return nullptr;
  }
  self->vectorcall = awaits != 0 ? call_coroutine : call_plain;
  self->plan = KeyPlan{};
  self->plan.scope = Py_NewRef(scope);
  self->plan.names = Py_NewRef(names);
  self->plan.defaults = Py_NewRef(defaults);
  self->plan.required = Py_NewRef(required);
  self->plan.kept = none_as_null(kept);
  self->plan.bind_slowly = Py_NewRef(bind_slowly);
  self->plan.describe = Py_NewRef(describe);
  self->plan.positional = positional;
  self->plan.simple = simple != 0 && PyTuple_GET_SIZE(names) <= KeyPlan::kMostItems;
  const bool whole = self->plan.simple && kept == Py_None && positional == PyTuple_GET_SIZE(names);
  self->plan.whole = whole ? positional : -1;
  self->cache = reinterpret_cast<CacheObject*>(none_as_null(cache));
  self->wrapped = Py_NewRef(wrapped);
  self->key_function = none_as_null(key_function);
  self->load = Py_NewRef(load);
  self->special = Py_NewRef(special);
  self->bind = Py_NewRef(bind);
  self->dict = nullptr;
  self->weakrefs = nullptr;
  PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
  return reinterpret_cast<PyObject*>(self);
}

PyMethodDef make_definition = {"make_cached_function", make_cached_function, METH_VARARGS,
                               "Wrap a function so that its results are cached; see resilience._cache."};

}  // namespace

PyObject* find_cached(CachedFunction& function, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                      PyObject** key) {
  *key = nullptr;
  return function.key_function == nullptr ? find_by_arguments(function, args, nargs, kwnames, key)
                                          : find_by_key(function, args, nargs, kwnames, key);
}

PyObject* uncached(PyObject* function) {
  return Py_IS_TYPE(function, &function_type) ? as_function(function).wrapped : function;
}

bool init_cached_function(PyObject* module) {
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&function_type), 1);
  function_type.tp_name = "resilience._core.CachedFunction";
  function_type.tp_basicsize = sizeof(CachedFunction);
  function_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                           Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  function_type.tp_vectorcall_offset = offsetof(CachedFunction, vectorcall);
  function_type.tp_dictoffset = offsetof(CachedFunction, dict);
  function_type.tp_weaklistoffset = offsetof(CachedFunction, weakrefs);
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
  const PyRef make(PyCFunction_New(&make_definition, nullptr));
  return PyType_Ready(&function_type) == 0 && make &&
         PyModule_AddObjectRef(module, "CachedFunction", reinterpret_cast<PyObject*>(&function_type)) == 0 &&
         PyModule_AddObjectRef(module, "make_cached_function", make.get()) == 0;
}

}  // namespace resilience::bindings
