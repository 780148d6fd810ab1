// The hand-written Python type of a cache: its hot methods. What is asked for seldom is in
// register_cache.cpp.
#include <Python.h>
#include <structmember.h>

#include <cstddef>

#include "cache_object.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyTypeObject* type = nullptr;

using Keywords = PyObject*;

PyObject* value_of(const CacheObject& self, Slot slot) {
  return reinterpret_cast<PyObject*>(self.cache->value(slot));
}

bool ready(const CacheObject& self) {
  if (self.cache == nullptr) [[unlikely]] {
    PyErr_SetString(PyExc_RuntimeError, "the cache was not initialised: call super().__init__() first");
    return false;
  }
  return true;
}

// The fresh slot of a key, kNoSlot when there is none; false with an exception set.
bool find_fresh(CacheObject& self, PyObject* key, Slot& slot, Nanos& now) {
  const Py_hash_t hash = hash_of(key);
  if (hash == -1 || !ready(self)) [[unlikely]] {
    return false;
  }
  now = expiry_now(self);
  expire_if_due(self, now);
  const std::uint32_t mixed = self.cache->mix(static_cast<std::uint64_t>(hash));
  if (!find_slot(*self.cache, mixed, [key](PyObject* known) { return same_key(known, key); }, slot)) {
    return false;
  }
  if (slot != kNoSlot && !self.cache->fresh(slot, now)) {
    slot = kNoSlot;
  }
  return true;
}

// A counted lookup: the value (new reference), or null with or without an exception set.
PyObject* look_up(CacheObject& self, PyObject* key) {
  Slot slot = kNoSlot;
  Nanos now = 0;
  if (!find_fresh(self, key, slot, now)) [[unlikely]] {
    return nullptr;
  }
  if (slot == kNoSlot) {
    self.cache->miss();
    return nullptr;
  }
  PyObject* value = Py_NewRef(value_of(self, slot));
  self.cache->hit(slot, now);
  return value;
}

// (key), or (key, default=None) for who has a place for `fallback`; by position or by name.
bool parse_key(const char* method, PyObject* const* args, Py_ssize_t nargs, Keywords names, PyObject*& key,
               PyObject** fallback = nullptr) {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  const Py_ssize_t most = fallback == nullptr ? 1 : 2;
  PyObject* given[] = {nargs > 0 ? args[0] : nullptr, nargs > 1 ? args[1] : nullptr};
  bool known = nargs + named <= most;
  for (Py_ssize_t i = 0; i < named && known; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    PyObject*& target = given[PyUnicode_CompareWithASCIIString(name, "key") == 0 ? 0 : 1];
    known = target == nullptr &&
            (&target == given || (most == 2 && PyUnicode_CompareWithASCIIString(name, "default") == 0));
    target = args[nargs + i];
  }
  if (given[0] == nullptr || !known) {
    PyErr_Format(PyExc_TypeError,
                 most == 1 ? "%s() takes one argument, key"
                           : "%s() takes a key and at most one further argument, default",
                 method);
    return false;
  }
  key = given[0];
  if (fallback != nullptr) {
    *fallback = given[1] == nullptr ? Py_None : given[1];
  }
  return true;
}

PyObject* method_get(PyObject* object, PyObject* const* args, Py_ssize_t nargs, Keywords names) {
  PyObject* key = nargs == 1 ? args[0] : nullptr;
  PyObject* fallback = Py_None;
  if ((nargs != 1 || names != nullptr) && !parse_key("get", args, nargs, names, key, &fallback)) {
    return nullptr;
  }
  PyObject* value = look_up(*as_cache(object), key);
  if (value == nullptr && PyErr_Occurred() == nullptr) {
    return Py_NewRef(fallback);
  }
  return value;
}

PyObject* method_peek(PyObject* object, PyObject* const* args, Py_ssize_t nargs, Keywords names) {
  PyObject* key = nullptr;
  PyObject* fallback = Py_None;
  Slot slot = kNoSlot;
  Nanos now = 0;
  if (!parse_key("peek", args, nargs, names, key, &fallback) ||
      !find_fresh(*as_cache(object), key, slot, now)) {
    return nullptr;
  }
  return Py_NewRef(slot == kNoSlot ? fallback : value_of(*as_cache(object), slot));
}

PyObject* subscript(PyObject* object, PyObject* key) {
  PyObject* value = look_up(*as_cache(object), key);
  if (value == nullptr && PyErr_Occurred() == nullptr) {
    PyErr_SetObject(PyExc_KeyError, key);
  }
  return value;
}

int contains(PyObject* object, PyObject* key) {
  Slot slot = kNoSlot;
  Nanos now = 0;
  if (!find_fresh(*as_cache(object), key, slot, now)) {
    return -1;
  }
  return slot == kNoSlot ? 0 : 1;
}

// Removes a key. kYes when it was there and fresh.
Same remove(CacheObject& self, PyObject* key) {
  Slot slot = kNoSlot;
  const Py_hash_t hash = hash_of(key);
  if (hash == -1 || !ready(self)) {
    return Same::kError;
  }
  self.cache->tokens().invalidate_key(static_cast<std::uint64_t>(hash));
  const std::uint32_t mixed = self.cache->mix(static_cast<std::uint64_t>(hash));
  if (!find_slot(*self.cache, mixed, [key](PyObject* known) { return same_key(known, key); }, slot)) {
    return Same::kError;
  }
  if (slot == kNoSlot) {
    return Same::kNo;
  }
  const Nanos now = expiry_now(self);
  const bool fresh = self.cache->fresh(slot, now);
  Evictions left;
  self.cache->erase(slot, self.cache->kept(slot, now) ? EvictionCause::kExplicit : EvictionCause::kExpired,
                    left);
  deliver(self, left, key);
  return fresh ? Same::kYes : Same::kNo;
}

int assign_subscript(PyObject* object, PyObject* key, PyObject* value) {
  CacheObject& self = *as_cache(object);
  if (value == nullptr) {
    const Same removed = remove(self, key);
    if (removed == Same::kNo) {
      PyErr_SetObject(PyExc_KeyError, key);
    }
    return removed == Same::kYes ? 0 : -1;
  }
  const Py_hash_t hash = hash_of(key);
  if (hash == -1 || !ready(self)) {
    return -1;
  }
  return store(self, key, hash, value, std::nullopt, {}) == Stored::kError ? -1 : 0;
}

PyObject* method_invalidate(PyObject* object, PyObject* const* args, Py_ssize_t nargs, Keywords names) {
  PyObject* key = nullptr;
  if (!parse_key("invalidate", args, nargs, names, key)) {
    return nullptr;
  }
  const Same removed = remove(*as_cache(object), key);
  return removed == Same::kError ? nullptr : PyBool_FromLong(removed == Same::kYes ? 1 : 0);
}

PyObject* method_clear(PyObject* object, PyObject* /*unused*/) {
  CacheObject& self = *as_cache(object);
  if (!ready(self)) {
    return nullptr;
  }
  self.cache->tokens().invalidate_all();
  Evictions left;
  self.cache->clear(left);
  deliver(self, left, nullptr);
  Py_RETURN_NONE;
}

Py_ssize_t length(PyObject* object) {
  CacheObject& self = *as_cache(object);
  if (!ready(self)) {
    return -1;
  }
  expire_all(self);
  return static_cast<Py_ssize_t>(self.cache->size());
}

// The fresh keys and values at this moment, not counted as reads.
PyObject* method_snapshot(PyObject* object, PyObject* /*unused*/) {
  const CacheObject& self = *as_cache(object);
  if (length(object) < 0) {
    return nullptr;
  }
  PyRef items(PyList_New(0));
  const Nanos now = expiry_now(self);
  const std::uint64_t version = self.cache->version();
  for (Slot slot = 0; items && slot < self.cache->slots(); ++slot) {
    if (!self.cache->held(slot) || !self.cache->fresh(slot, now)) {
      continue;
    }
    const PyRef pair(
        PyTuple_Pack(2, reinterpret_cast<PyObject*>(self.cache->key(slot)), value_of(self, slot)));
    if (!pair || PyList_Append(items.get(), pair.get()) < 0) {
      return nullptr;
    }
    if (self.cache->version() != version) {  // the collector ran somebody's code: begin again
      return method_snapshot(object, nullptr);
    }
  }
  return items.release();
}

// ---- life

PyObject* cache_new(PyTypeObject* own_type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* object = own_type->tp_alloc(own_type, 0);
  if (object != nullptr) {
    as_cache(object)->shared = new CacheObject::Shared();
  }
  return object;
}

int cache_traverse(PyObject* object, visitproc visit, void* arg) {
  const CacheObject& self = *as_cache(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self.on_evict);
  Py_VISIT(self.weigher);
  for (Slot slot = 0; self.cache != nullptr && slot < self.cache->slots(); ++slot) {
    if (self.cache->held(slot)) {
      Py_VISIT(reinterpret_cast<PyObject*>(self.cache->key(slot)));
      Py_VISIT(value_of(self, slot));
    }
  }
  return 0;
}

int cache_clear(PyObject* object) {
  CacheObject& self = *as_cache(object);
  Py_CLEAR(self.on_evict);  // first: nobody is told of what goes with the cache
  Py_CLEAR(self.weigher);
  if (self.cache != nullptr) {
    Evictions left;
    self.cache->clear(left);
    deliver(self, left, nullptr);
  }
  return 0;
}

void cache_dealloc(PyObject* object) {
  CacheObject& self = *as_cache(object);
  PyObject_GC_UnTrack(object);
  if (self.weakrefs != nullptr) {
    PyObject_ClearWeakRefs(object);
  }
  if (self.cache != nullptr) {
    disarm_expiry(self);
  }
  (void)cache_clear(object);
  delete self.cache;
  delete self.shared;
  PyTypeObject* own_type = Py_TYPE(object);
  own_type->tp_free(object);
  Py_DECREF(reinterpret_cast<PyObject*>(own_type));
}

template <typename Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"get", as_method(method_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None)\n--\n\nReturn the value of `key`, or `default`; counted as hit or miss."},
    {"peek", as_method(method_peek), METH_FASTCALL | METH_KEYWORDS,
     "peek($self, key, default=None)\n--\n\nLike get(), but neither counted nor a sign of use."},
    {"invalidate", as_method(method_invalidate), METH_FASTCALL | METH_KEYWORDS,
     "invalidate($self, key)\n--\n\nRemove `key`; a load of it now under way will not be stored. True when "
     "it was there."},
    {"clear", method_clear, METH_NOARGS,
     "clear($self)\n--\n\nRemove everything; no load now under way will be stored."},
    {"_snapshot", method_snapshot, METH_NOARGS, "The fresh (key, value) pairs, not counted as reads."},
    {nullptr, nullptr, 0, nullptr}};

// CPython's specialised call of a method wants an object of the very class that the method was defined for: a
// subclass gets its own descriptors of the hot methods, which saves a quarter of a hit.
PyObject* adopt_methods(PyObject* /*module*/, PyObject* subclass) {
  if (PyType_Check(subclass) == 0 || PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(subclass), type) == 0) {
    PyErr_SetString(PyExc_TypeError, "expected a subclass of CacheBase");
    return nullptr;
  }
  for (PyMethodDef* method = methods; method->ml_name != nullptr; ++method) {
    const PyRef descriptor(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(subclass), method));
    if (!descriptor || PyObject_SetAttrString(subclass, method->ml_name, descriptor.get()) < 0) {
      return nullptr;
    }
  }
  return Py_NewRef(subclass);
}

PyMethodDef adopt_definition = {
    "adopt_cache_methods", adopt_methods, METH_O,
    "adopt_cache_methods(subclass, /)\n--\n\nGive a subclass of CacheBase hot methods "
    "of its own; returns it, so it serves as a decorator."};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CacheObject, weakrefs), READONLY, nullptr}, {}};

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Native half of Cache.")},
                       {Py_tp_new, reinterpret_cast<void*>(cache_new)},
                       {Py_tp_traverse, reinterpret_cast<void*>(cache_traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(cache_clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(cache_dealloc)},
                       {Py_tp_methods, methods},
                       {Py_tp_members, members},
                       {Py_mp_length, reinterpret_cast<void*>(length)},
                       {Py_mp_subscript, reinterpret_cast<void*>(subscript)},
                       {Py_mp_ass_subscript, reinterpret_cast<void*>(assign_subscript)},
                       {Py_sq_contains, reinterpret_cast<void*>(contains)},
                       {0, nullptr}};

PyType_Spec spec = {"resilience._core.CacheBase", sizeof(CacheObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

PyTypeObject* cache_type() { return type; }

bool init_cache_type(PyObject* module) {
  type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  const PyRef adopt(PyCFunction_New(&adopt_definition, nullptr));
  return type != nullptr && adopt &&
         PyModule_AddObjectRef(module, "CacheBase", reinterpret_cast<PyObject*>(type)) == 0 &&
         PyModule_AddObjectRef(module, "adopt_cache_methods", adopt.get()) == 0;
}

}  // namespace resilience::bindings
