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

// One step of any awaitable's iterator, with the result of `await`'s last yield. PyIter_Send, named for its
// use.
inline PySendResult step(PyObject* iterator, PyObject* value, PyObject** result) {
  return PyIter_Send(iterator, value, result);
}

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

// Up to `kMost` instances of one exact type, kept for the next allocation.
template <typename Object, std::size_t kMost>
class FreeList {
 public:
  Object* take() noexcept { return count_ == 0 ? nullptr : items_[--count_]; }
  // False when there is no room: free the object.
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

// Makes a recycled object as good as new: the type's reference and a count of one. REQUIRES: a heap type.
template <typename Object>
PyObject* revive(Object* object, PyTypeObject* type) {
  auto* base = reinterpret_cast<PyObject*>(object);
  (void)PyObject_Init(base, type);
  return base;
}

}  // namespace resilience::bindings
