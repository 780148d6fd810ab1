// Cached functions, and their calls.
//
// CachedFunction  what @cache returns: callable, bound as a method, in every look the function that it wraps
// CachedCall      one call of a coroutine function: an awaitable that looks its key up at the first step. A
// hit ends
//                 right there; everything else is the coroutine that `load` makes (python/resilience/_cache).
#pragma once

#include <Python.h>

#include "call_key.hpp"

namespace resilience::bindings {

struct CachedFunction {
  PyObject_HEAD vectorcallfunc vectorcall;
  KeyPlan plan;
  CacheObject* cache;  // null: there is no level in this process
  PyObject* wrapped;
  PyObject* key_function;  // makes the key from the arguments; null: the plan does
  PyObject* load;          // (key, args, kwargs): what happens on anything but a fresh hit
  PyObject* special;       // the type of values that aren't results: failures that are remembered
  PyObject* bind;          // (function, instance): what reading it from an instance gives
  PyObject* dict;
  PyObject* weakrefs;
};

bool init_cached_function(PyObject* module);
bool init_cached_call(PyObject* module);

// The function that a cached one wraps, or `function` itself (borrowed).
PyObject* uncached(PyObject* function);

// The fresh result of a call (new reference). Null with an exception set, or without: then `key` holds the
// call's key (new reference), and it is to be loaded.
PyObject* find_cached(CachedFunction& function, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                      PyObject** key);

// A call with vectorcall arguments, not yet started (new reference).
PyObject* make_cached_call(CachedFunction* function, PyObject* const* args, Py_ssize_t nargs,
                           PyObject* kwnames);

}  // namespace resilience::bindings
