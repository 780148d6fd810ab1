// How the arguments of a call become the key of a cache.
//
// Arguments are bound to the signature, compiled once: f(1, b=2) and f(a=1, b=2) are one key, defaults filled
// in. Two arguments are the same when they are equal and of one type, inside tuples too: 1, True and 1.0 are
// three keys. A hit needs no key object: the bound arguments are compared with the stored key's. Of a
// method's self a key holds a weak reference, compared by identity.
//
// Needs the GIL.
#pragma once

#include <Python.h>

#include <cstddef>

#include "cache_object.hpp"

namespace resilience::bindings {

// A key made of bound arguments; hashable, and never changed.
struct CallKey {
  PyObject_VAR_HEAD PyObject* scope;  // whose arguments these are: functions may share a cache
  Py_hash_t hash;
  bool weak_first;  // the first item is a weak reference
  PyObject* items[1];
};

struct KeyPlan {
  static constexpr Py_ssize_t kMostItems = 16;

  PyObject* scope = nullptr;
  PyObject* names = nullptr;     // a tuple: every parameter, the positional ones first
  PyObject* defaults = nullptr;  // a tuple beside it; `required` where there is none
  PyObject* required = nullptr;  // the marker
  PyObject* kept = nullptr;      // a tuple of bools: false where the argument is no part of the key
  PyObject* bind_slowly =
      nullptr;  // (args, kwargs) -> the items, for signatures that need more; raises TypeError
  PyObject* describe = nullptr;  // (index, error): raises it again, naming the argument
  Py_ssize_t positional = 0;     // how many of the names may be given by position
  Py_ssize_t whole = -1;         // a call with that many positional arguments is its own key; -1: none
  bool simple = false;           // the binding here is enough
  bool weak_first = false;

  int traverse(visitproc visit, void* arg) const;
  void clear();
};

// The items of one call, borrowed, or owned through `holder`.
struct BoundItems {
  PyObject* const* items = nullptr;
  Py_ssize_t count = 0;
  Py_hash_t hash = 0;
  PyObject* holder = nullptr;  // a tuple when bound slowly
  PyObject* inline_items[KeyPlan::kMostItems];

  BoundItems() = default;
  BoundItems(const BoundItems&) = delete;
  BoundItems& operator=(const BoundItems&) = delete;
  ~BoundItems() { Py_XDECREF(holder); }
};

bool init_call_key(PyObject* module);

// Binds and hashes the arguments of a call (as vectorcall gives them). False with an exception set.
bool bind_items(const KeyPlan& plan, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                BoundItems& bound);
// Whether a stored key is that of these items.
Same same_call(PyObject* known, const KeyPlan& plan, const BoundItems& bound);
// The key as an object (new reference).
PyObject* make_call_key(const KeyPlan& plan, const BoundItems& bound);

// The keyword part of vectorcall arguments as a dict (new reference).
PyObject* keywords_of(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);
// The positional part as a tuple (new reference).
PyObject* positional_of(PyObject* const* args, Py_ssize_t nargs);

}  // namespace resilience::bindings
