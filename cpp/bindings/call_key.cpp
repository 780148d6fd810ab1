#include "call_key.hpp"

#include <cstdint>

#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyTypeObject key_type;

CallKey* as_key(PyObject* object) { return reinterpret_cast<CallKey*>(object); }

Py_hash_t identity_hash(PyObject* object) {
  const auto address = reinterpret_cast<std::uintptr_t>(object);
  return static_cast<Py_hash_t>((address >> 4U) | (address << 60U));
}

Py_hash_t combine(Py_hash_t seed, Py_hash_t next) {
  std::uint64_t mixed = static_cast<std::uint64_t>(seed) ^ static_cast<std::uint64_t>(next);
  mixed *= 0x9E3779B97F4A7C15ULL;
  return static_cast<Py_hash_t>(mixed ^ (mixed >> 29U));
}

// Equal and of one type, in tuples element by element. Keeps `known` alive where foreign code may run.
Same strictly_same(PyObject* known, PyObject* given) {
  if (known == given) {
    return Same::kYes;
  }
  if (Py_TYPE(known) != Py_TYPE(given)) {
    return Same::kNo;
  }
  if (!PyTuple_CheckExact(known)) {
    return same_key(known, given);
  }
  if (PyTuple_GET_SIZE(known) != PyTuple_GET_SIZE(given)) {
    return Same::kNo;
  }
  const PyRef held = PyRef::share(known);
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(known); ++at) {
    const Same same = strictly_same(PyTuple_GET_ITEM(known, at), PyTuple_GET_ITEM(given, at));
    if (same != Same::kYes) {
      return same;
    }
  }
  return Same::kYes;
}

// The same, for an item of a key that may lose its last reference meanwhile.
Same holding_same(PyObject* key, PyObject* known, PyObject* given) {
  const PyRef held = PyRef::share(key);
  return strictly_same(known, given);
}

PyObject* referent(PyObject* weak) {
#if PY_VERSION_HEX >= 0x030d0000
  PyObject* object = nullptr;
  (void)PyWeakref_GetRef(weak, &object);
  Py_XDECREF(object);  // compared by identity only; the caller of the method holds it
  return object;
#else
  return PyWeakref_GET_OBJECT(weak);
#endif
}

// Fills `items` with every parameter's argument; false (without an exception) when that takes more than this.
bool bind_quickly(const KeyPlan& plan, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                  PyObject** items) {
  const Py_ssize_t count = PyTuple_GET_SIZE(plan.names);
  if (!plan.simple || nargs > plan.positional) {
    return false;
  }
  for (Py_ssize_t at = 0; at < count; ++at) {
    items[at] = at < nargs ? args[at] : nullptr;
  }
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  for (Py_ssize_t given = 0; given < named; ++given) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, given);
    Py_ssize_t at = 0;
    while (at < count && PyTuple_GET_ITEM(plan.names, at) != name &&
           PyUnicode_Compare(PyTuple_GET_ITEM(plan.names, at), name) != 0) {
      ++at;
    }
    if (at == count || items[at] != nullptr) {
      return false;
    }
    items[at] = args[nargs + given];
  }
  for (Py_ssize_t at = nargs; at < count; ++at) {
    if (items[at] == nullptr) {
      items[at] = PyTuple_GET_ITEM(plan.defaults, at);
      if (items[at] == plan.required) {
        return false;
      }
    }
  }
  return true;
}

bool bind_by_signature(const KeyPlan& plan, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                       BoundItems& bound) {
  const PyRef positional(positional_of(args, nargs));
  const PyRef keywords(keywords_of(args, nargs, kwnames));
  if (!positional || !keywords) {
    return false;
  }
  bound.holder = PyObject_CallFunctionObjArgs(plan.bind_slowly, positional.get(), keywords.get(), nullptr);
  if (bound.holder == nullptr) {
    return false;
  }
  bound.items = &PyTuple_GET_ITEM(bound.holder, 0);
  bound.count = PyTuple_GET_SIZE(bound.holder);
  return true;
}

// The pending error, raised again with the argument's name.
void name_argument(const KeyPlan& plan, Py_ssize_t at) {
  PyObject* type = nullptr;
  PyObject* error = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &error, &traceback);
  PyErr_NormalizeException(&type, &error, &traceback);
  const PyRef index(PyLong_FromSsize_t(at));
  if (index && error != nullptr) {
    Py_XDECREF(PyObject_CallFunctionObjArgs(plan.describe, index.get(), error, nullptr));
  }
  Py_XDECREF(type);
  Py_XDECREF(error);
  Py_XDECREF(traceback);
}

bool hash_items(const KeyPlan& plan, BoundItems& bound) {
  Py_hash_t hash = identity_hash(plan.scope);
  Py_ssize_t at = 0;
  if (plan.weak_first && bound.count > 0) {
    hash = combine(hash, identity_hash(bound.items[0]));
    at = 1;
  }
  for (; at < bound.count; ++at) {
    const Py_hash_t one = hash_of(bound.items[at]);
    if (one == -1) [[unlikely]] {
      name_argument(plan, at);
      return false;
    }
    hash = combine(hash, one);
  }
  bound.hash = hash == -1 ? -2 : hash;
  return true;
}

// ---- the Python type

Py_hash_t key_hash(PyObject* self) { return as_key(self)->hash; }

Same same_keys(const CallKey& one, const CallKey& other) {
  if (one.hash != other.hash || one.scope != other.scope || Py_SIZE(&one) != Py_SIZE(&other)) {
    return Same::kNo;
  }
  for (Py_ssize_t at = 0; at < Py_SIZE(&one); ++at) {
    if (at == 0 && one.weak_first) {
      if (referent(one.items[0]) == nullptr || referent(one.items[0]) != referent(other.items[0])) {
        return Same::kNo;
      }
      continue;
    }
    const Same same = strictly_same(one.items[at], other.items[at]);
    if (same != Same::kYes) {
      return same;
    }
  }
  return Same::kYes;
}

PyObject* key_compare(PyObject* self, PyObject* other, int operation) {
  if (Py_TYPE(other) != &key_type || (operation != Py_EQ && operation != Py_NE)) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  const Same same = self == other ? Same::kYes : same_keys(*as_key(self), *as_key(other));
  if (same == Same::kError) {
    return nullptr;
  }
  return PyBool_FromLong((same == Same::kYes) == (operation == Py_EQ) ? 1 : 0);
}

PyObject* get_arguments(PyObject* self, void* /*unused*/) {
  const CallKey& key = *as_key(self);
  PyObject* tuple = PyTuple_New(Py_SIZE(&key));
  for (Py_ssize_t at = 0; tuple != nullptr && at < Py_SIZE(&key); ++at) {
    PyTuple_SET_ITEM(tuple, at, Py_NewRef(key.items[at]));
  }
  return tuple;
}

PyObject* key_repr(PyObject* self) {
  const PyRef arguments(get_arguments(self, nullptr));
  return arguments ? PyUnicode_FromFormat("<key of %S%R>", as_key(self)->scope, arguments.get()) : nullptr;
}

int key_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(as_key(self)->scope);
  for (Py_ssize_t at = 0; at < Py_SIZE(self); ++at) {
    Py_VISIT(as_key(self)->items[at]);
  }
  return 0;
}

void key_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  Py_XDECREF(as_key(self)->scope);
  for (Py_ssize_t at = 0; at < Py_SIZE(self); ++at) {
    Py_XDECREF(as_key(self)->items[at]);
  }
  PyObject_GC_Del(self);
}

PyGetSetDef key_properties[] = {{"arguments", get_arguments, nullptr,
                                 "The bound arguments; of a method's self a weak reference.", nullptr},
                                {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

int KeyPlan::traverse(visitproc visit, void* arg) const {
  Py_VISIT(scope);
  Py_VISIT(names);
  Py_VISIT(defaults);
  Py_VISIT(required);
  Py_VISIT(kept);
  Py_VISIT(bind_slowly);
  Py_VISIT(describe);
  return 0;
}

void KeyPlan::clear() {
  for (PyObject** field : {&scope, &names, &defaults, &required, &kept, &bind_slowly, &describe}) {
    Py_CLEAR(*field);
  }
}

bool bind_items(const KeyPlan& plan, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                BoundItems& bound) {
  if (nargs == plan.whole && kwnames == nullptr) [[likely]] {  // nothing to look up and nothing to leave out
    bound.items = args;
    bound.count = nargs;
    return hash_items(plan, bound);
  }
  if (!bind_quickly(plan, args, nargs, kwnames, bound.inline_items)) {
    return bind_by_signature(plan, args, nargs, kwnames, bound) && hash_items(plan, bound);
  }
  const Py_ssize_t total = PyTuple_GET_SIZE(plan.names);
  bound.items = bound.inline_items;
  bound.count = total;
  if (plan.kept != nullptr) {
    bound.count = 0;
    for (Py_ssize_t at = 0; at < total; ++at) {
      if (PyTuple_GET_ITEM(plan.kept, at) == Py_True) {
        bound.inline_items[bound.count++] = bound.inline_items[at];
      }
    }
  }
  return hash_items(plan, bound);
}

Same same_call(PyObject* known, const KeyPlan& plan, const BoundItems& bound) {
  if (Py_TYPE(known) != &key_type) {
    return Same::kNo;
  }
  const CallKey& key = *as_key(known);
  if (key.hash != bound.hash || key.scope != plan.scope || Py_SIZE(known) != bound.count) {
    return Same::kNo;
  }
  Py_ssize_t at = 0;
  if (key.weak_first) {
    if (referent(key.items[0]) != bound.items[0]) {
      return Same::kNo;
    }
    at = 1;
  }
  for (; at < bound.count; ++at) {
    if (key.items[at] == bound.items[at]) [[likely]] {
      continue;
    }
    const Same same = holding_same(known, key.items[at], bound.items[at]);
    if (same != Same::kYes) {
      return same;
    }
  }
  return Same::kYes;
}

PyObject* make_call_key(const KeyPlan& plan, const BoundItems& bound) {
  CallKey* key = PyObject_GC_NewVar(CallKey, &key_type, bound.count);
  if (key == nullptr) {
    return nullptr;
  }
  key->scope = Py_NewRef(plan.scope);
  key->hash = bound.hash;
  key->weak_first = plan.weak_first;
  for (Py_ssize_t at = 0; at < bound.count; ++at) {
    key->items[at] = nullptr;
  }
  for (Py_ssize_t at = 0; at < bound.count; ++at) {
    PyObject* item = bound.items[at];
    key->items[at] = at == 0 && plan.weak_first ? PyWeakref_NewRef(item, nullptr) : Py_NewRef(item);
    if (key->items[at] == nullptr) {
      Py_DECREF(reinterpret_cast<PyObject*>(key));
      return nullptr;
    }
  }
  PyObject_GC_Track(reinterpret_cast<PyObject*>(key));
  return reinterpret_cast<PyObject*>(key);
}

PyObject* positional_of(PyObject* const* args, Py_ssize_t nargs) {
  PyObject* tuple = PyTuple_New(nargs);
  for (Py_ssize_t at = 0; tuple != nullptr && at < nargs; ++at) {
    PyTuple_SET_ITEM(tuple, at, Py_NewRef(args[at]));
  }
  return tuple;
}

PyObject* keywords_of(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  PyRef keywords(PyDict_New());
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  for (Py_ssize_t at = 0; keywords && at < named; ++at) {
    if (PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(kwnames, at), args[nargs + at]) < 0) {
      return nullptr;
    }
  }
  return keywords.release();
}

bool init_call_key(PyObject* module) {
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&key_type), 1);
  key_type.tp_name = "resilience._core.CallKey";
  key_type.tp_doc = "The key of a cached call: its function and its bound arguments.";
  key_type.tp_basicsize = offsetof(CallKey, items);
  key_type.tp_itemsize = sizeof(PyObject*);
  key_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  key_type.tp_dealloc = key_dealloc;
  key_type.tp_traverse = key_traverse;
  key_type.tp_hash = key_hash;
  key_type.tp_richcompare = key_compare;
  key_type.tp_repr = key_repr;
  key_type.tp_getset = key_properties;
  return PyType_Ready(&key_type) == 0 &&
         PyModule_AddObjectRef(module, "CallKey", reinterpret_cast<PyObject*>(&key_type)) == 0;
}

}  // namespace resilience::bindings
