// One call of a cached coroutine function.
//
// The first step looks the key up; a fresh hit is the result of that step, and no coroutine exists. Anything
// else is stepped through to the coroutine that the function's `load` makes.
#include "cached_function.hpp"
#include "call_type.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

// Its function is the CachedFunction.
struct CachedCall : CallFrame {};

struct CachedDriver {
  using Call = CachedCall;
  struct Stepping {
    explicit Stepping(const Call* /*self*/) {}
  };

  static void complete(PyTypeObject& type) { type.tp_repr = repr; }
  static void create(Call* /*self*/) {}
  static int traverse(Call* /*self*/, visitproc /*visit*/, void* /*arg*/) { return 0; }

  static PySendResult start(Call* self, PyObject** result) {
    CachedFunction& function = *reinterpret_cast<CachedFunction*>(self->function);
    PyObject* raw_key = nullptr;
    *result = find_cached(function, self->args, self->nargs, self->kwnames, &raw_key);
    const PyRef key(raw_key);
    if (*result != nullptr) [[likely]] {
      finish(self);
      return PYGEN_RETURN;
    }
    self->inner = key ? make_load(function, self, key.get()) : nullptr;
    if (self->inner == nullptr) {
      finish(self);
      return PYGEN_ERROR;
    }
    drop_arguments(self);
    const PySendResult outcome = step(self->inner, Py_None, result);
    return conclude(self, outcome, result);
  }

  static PySendResult conclude(Call* self, PySendResult outcome, PyObject** /*result*/) {
    if (outcome == PYGEN_NEXT) {
      self->phase = Phase::kSuspended;
    } else {
      finish(self);
    }
    return outcome;
  }

  // Nothing was admitted: the load looks after itself.
  static void release(Call* /*self*/) {}
  static void fail(Call* /*self*/) {}

 private:
  // The coroutine that loads, or waits for a load (new reference).
  static PyObject* make_load(const CachedFunction& function, const Call* self, PyObject* key) {
    const PyRef positional(positional_of(self->args, self->nargs));
    const PyRef keywords(keywords_of(self->args, self->nargs, self->kwnames));
    if (!positional || !keywords) {
      return nullptr;
    }
    return PyObject_CallFunctionObjArgs(function.load, key, positional.get(), keywords.get(), nullptr);
  }

  static PyObject* repr(PyObject* self) {
    const PyRef name(PyObject_GetAttrString(self, "__qualname__"));
    return name ? PyUnicode_FromFormat("<cached call %S at %p>", name.get(), self) : nullptr;
  }
};

using CallOfCached = CallType<CachedDriver>;

}  // namespace

PyObject* make_cached_call(CachedFunction* function, PyObject* const* args, Py_ssize_t nargs,
                           PyObject* kwnames) {
  return CallOfCached::make(nullptr, reinterpret_cast<PyObject*>(function), args, nargs, kwnames);
}

bool init_cached_call(PyObject* module) {
  return CallOfCached::init(
      module, "CachedCall", "resilience._core.CachedCall",
      "One call of a cached function; awaitable once, and a coroutine in every other respect.");
}

}  // namespace resilience::bindings
