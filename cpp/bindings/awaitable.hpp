// What the hand-written awaitable types share: returning from a step, and recycling their memory.
//
// `await` in CPython 3.11 and a Task's step call am_send, which hands the result over directly. `await`
// in 3.12 and later calls tp_iternext, where a result travels in a StopIteration. Making one costs as much as
// the rest of a guarded call, so results travel in instances of a static subtype that are recycled and keep
// nothing alive.
//
// Thread-safety: all of this assumes one interpreter and its GIL; the module refuses others.
#pragma once

#include <Python.h>

#include <cstddef>

namespace resilience::bindings {

// Readies the StopIteration subtype. REQUIRES: called once, before finish_iteration(). False with an
// exception set.
bool init_awaitables(PyObject* module);

// Ends a tp_iternext step with `result` (stolen): always null, with an exception set unless the result is
// None.
PyObject* finish_iteration(PyObject* result);

// tp_iternext of a type by its am_send.
template <sendfunc kSend>
PyObject* iternext_by(PyObject* self) {
  PyObject* result = nullptr;
  switch (kSend(self, Py_None, &result)) {
    case PYGEN_NEXT:
      return result;
    case PYGEN_RETURN:
      return finish_iteration(result);
    case PYGEN_ERROR:
      break;
  }
  return nullptr;
}

// One step of any awaitable's iterator, with the result of `await`'s last yield. PyIter_Send, named for its
// use.
inline PySendResult step(PyObject* iterator, PyObject* value, PyObject** result) {
  return PyIter_Send(iterator, value, result);
}

// Whether it is a generator that `await` takes: a function under @types.coroutine made it.
bool is_iterable_coroutine(PyObject* object);

// The iterator behind an awaitable, as `await` finds it (new reference); null with TypeError for anything
// else.
PyObject* await_iterator(PyObject* awaitable);

// Throws into a suspended iterator, as `throw(type, value, traceback)` of a coroutine does (arguments
// borrowed).
PySendResult throw_into(PyObject* iterator, PyObject* const* args, Py_ssize_t nargs, PyObject** result);

// Closes a suspended iterator, as a coroutine's close() does. False with an exception set.
bool close_iterator(PyObject* iterator);

// Turns a step's outcome into what send() and throw() of a coroutine return: a yielded value, or
// StopIteration.
PyObject* as_method_result(PySendResult outcome, PyObject* result);

// For tp_dealloc of a tracked object, before it clears its fields: what is cleared may run code that starts
// the collector, which must take the object for alive.
inline void hold_while_clearing(PyObject* object) { Py_SET_REFCNT(object, 1); }
// After it: false when somebody found the emptied object through the gc module and holds it.
inline bool still_unheld(PyObject* object) {
  if (Py_REFCNT(object) == 1) [[likely]] {
    return true;
  }
  Py_DECREF(object);
  return false;
}

// Instances of one static, garbage-collected type that wait for their next use. They stay alive (the list
// holds one reference) and tracked, because untracking and tracking again costs as much as all else that
// recycling does; so while one waits here, its fields must be empty and safe to look at.
template <typename Object, std::size_t kMost>
class FreeList {
 public:
  // An empty object with a reference for the caller; null when there is none.
  Object* take() noexcept {
    while (count_ != 0) {
      Object* object = items_[--count_];
      if (Py_REFCNT(reinterpret_cast<PyObject*>(object)) == 1) [[likely]] {
        return object;
      }
      Py_DECREF(
          reinterpret_cast<PyObject*>(object));  // somebody found it through the gc module: leave it to them
    }
    return nullptr;
  }
  // To be called by tp_dealloc with an emptied object that it holds. False when there is no room: free it.
  bool give(Object* object) noexcept {
    if (count_ == kMost) {
      return false;
    }
    items_[count_++] = object;
    return true;
  }

 private:
  std::size_t count_ = 0;
  Object* items_[kMost] = {};
};

}  // namespace resilience::bindings
