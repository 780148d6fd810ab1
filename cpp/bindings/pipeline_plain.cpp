// A plain function under several policies: the layers are passed on the calling thread, and what has to be
// waited for blocks it, in the owner's Python code, without the GIL.
#include "errors.hpp"
#include "guard.hpp"
#include "policy_layer.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

// False with an exception set when a layer refuses.
bool enter_blocking(PolicyLayer& layer, Permits& permits, const Arguments& call) {
  for (;;) {
    PyObject* raw_key = nullptr;
    const Passage passage = enter(layer, permits, call, &raw_key);
    const PyRef key(raw_key);
    if (passage != Passage::kWaits) {
      return passage == Passage::kInside;
    }
    PyObject* owner = owner_of(layer, permits.next);
    const PyRef waited(permits.next == Layer::kRate
                           ? PyObject_CallMethod(owner, "_wait_sync", "O", key ? key.get() : Py_None)
                           : PyObject_CallMethod(owner, "_wait_sync", nullptr));
    if (!waited) {
      return false;
    }
    passed(layer, permits);
  }
}

PyObject* attempt(PolicyLayer& layer, PyObject* function, const Arguments& call, std::size_t nargsf) {
  Permits permits;
  PyObject* result = nullptr;
  if (enter_blocking(layer, permits, call)) {
    result = PyObject_Vectorcall(function, call.args, nargsf, call.kwnames);
  } else if (layer.breaker_fallback != nullptr && permits.next == Layer::kBreaker && !permits.breaker) {
    PyErr_Clear();
    return layer.breaker_fallback_callable
               ? answer_plain(layer.breaker_fallback, call.args, nargsf, call.kwnames)
               : Py_NewRef(layer.breaker_fallback);
  }
  if (result != nullptr) {
    leave_with_result(layer, permits, result);
  } else {
    leave_with_error(layer, permits);
  }
  return result;
}

// The error that is set now goes to one of the owner's methods, with the call.
PyObject* hand_over(PyObject* owner, const char* method, PyObject* function, const Arguments& call) {
  const PyRef error(take_error());
  const PyRef args(call.positional());
  const PyRef kwargs(args ? call.keywords() : nullptr);
  if (!kwargs) {
    return nullptr;
  }
  return PyObject_CallMethod(owner, method, "OOOO", function, args.get(), kwargs.get(), error.get());
}

}  // namespace

PyObject* call_plain_under(PolicyLayer& layer, PyObject* function, PyObject* const* args, std::size_t nargsf,
                           PyObject* kwnames) {
  if (layer.interrupts()) {
    PyErr_SetString(PyExc_TypeError,
                    "a plain function can't be timed out or hedged, since it can't be interrupted");
    return nullptr;
  }
  const Arguments call{args, PyVectorcall_NARGS(nargsf), kwnames};
  if (layer.budget) {
    layer.budget->machine.on_call();
  }
  PyObject* result = attempt(layer, function, call, nargsf);
  if (result == nullptr && layer.retries && PyErr_ExceptionMatches(PyExc_Exception)) {
    result = hand_over(layer.attempts, "repeat_sync", function, call);
  }
  if (result == nullptr && layer.fallback_owner != nullptr && PyErr_ExceptionMatches(PyExc_Exception)) {
    result = hand_over(layer.fallback_owner, "_answer_sync", function, call);
  }
  return result;
}

}  // namespace resilience::bindings
