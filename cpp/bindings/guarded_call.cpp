// A call under a circuit breaker alone.
//
// The first step admits, calls the function and steps what it returned; as long as the function doesn't
// suspend, all of it happens in that one step and no Python frame stands between the caller and the function.
// Results, errors, close() and collection all end in settling the run, exactly once.
#include "call_type.hpp"
#include "errors.hpp"
#include "guard.hpp"

namespace resilience::bindings {

namespace {

struct GuardedCall : CallFrame {
  BreakerRun run;
  bool admitted;  // the run is to be settled
};

struct BreakerDriver {
  using Call = GuardedCall;
  struct Stepping {
    explicit Stepping(const Call* /*self*/) {}
  };

  static void create(Call* self) {
    self->run = BreakerRun{};
    self->admitted = false;
  }
  static int traverse(Call* /*self*/, visitproc /*visit*/, void* /*arg*/) { return 0; }

  static PySendResult start(Call* self, PyObject** result) {
    BreakerLayer* breaker = self->guard->plan.breaker;
    if (breaker != nullptr) {
      if (!admit(*breaker, self->run)) [[unlikely]] {
        return fall_back(self, result);
      }
      self->admitted = true;
    }
    if (self->function == nullptr) [[likely]] {
      const PySendResult outcome = step_made(self, result);
      return conclude(self, outcome, result);
    }
    PyObject* awaitable = call_with_arguments(self, self->function);
    if (awaitable == nullptr) {
      return raised(self);
    }
    drop_arguments(self);
    if (!is_awaitable(awaitable)) [[unlikely]] {
      return not_awaitable(self, awaitable);
    }
    return start_awaitable(self, awaitable, result);
  }

  static PySendResult conclude(Call* self, PySendResult outcome, PyObject** result) {
    switch (outcome) {
      case PYGEN_NEXT:
        self->phase = Phase::kSuspended;
        return PYGEN_NEXT;
      case PYGEN_RETURN:
        return returned(self, *result);
      case PYGEN_ERROR:
        break;
    }
    return raised(self);
  }

  static void release(Call* self) {
    if (self->admitted) {
      self->admitted = false;
      settle_release(*self->guard->plan.breaker, self->run);
    }
  }

  static void fail(Call* self) {
    if (self->admitted) {
      self->admitted = false;
      settle_error(*self->guard->plan.breaker, self->run);
    }
  }

 private:
  static PySendResult raised(Call* self) {
    fail(self);
    finish(self);
    return PYGEN_ERROR;
  }

  static PySendResult returned(Call* self, PyObject* result) {
    if (self->admitted) {
      self->admitted = false;
      settle_result(*self->guard->plan.breaker, self->run, result);
    }
    finish(self);
    return PYGEN_RETURN;
  }

  // Steps what was called for the first time.
  static PySendResult start_awaitable(Call* self, PyObject* awaitable, PyObject** result) {
    if (!set_inner(self, awaitable)) {
      return raised(self);
    }
    const PySendResult outcome = step(self->inner, Py_None, result);
    return conclude(self, outcome, result);
  }

  // A mistake of whoever calls, which says nothing about the callee.
  static PySendResult not_awaitable(Call* self, PyObject* made) {
    release(self);
    refuse_to_await(made);
    finish(self);
    return PYGEN_ERROR;
  }

  // The rejection that is set now is answered by the fallback, when there is one.
  static PySendResult fall_back(Call* self, PyObject** result) {
    if (self->function == nullptr) {
      discard_made(self->inner);
    }
    const Plan& plan = self->guard->plan;
    if (plan.fallback == nullptr) {
      return raised(self);
    }
    PyErr_Clear();
    if (!plan.fallback_callable) {
      *result = Py_NewRef(plan.fallback);
      return returned(self, *result);
    }
    PyObject* answer = call_with_arguments(self, plan.fallback);
    if (answer == nullptr) {
      return raised(self);
    }
    drop_arguments(self);
    if (is_awaitable(answer)) {
      return start_awaitable(self, answer, result);
    }
    *result = answer;
    return returned(self, answer);
  }
};

using BreakerCall = CallType<BreakerDriver>;

}  // namespace

bool makes_coroutine(PyObject* function) {
  if (!PyFunction_Check(function)) {
    return false;
  }
  const auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
  return (code->co_flags & CO_COROUTINE) != 0;
}

PyObject* make_started_call(Guard* guard, PyObject* function, PyObject* const* args, std::size_t nargsf,
                            PyObject* kwnames) {
  if (guard->plan.keeps_arguments) {
    return make_guarded_call(guard, function, args, PyVectorcall_NARGS(nargsf), kwnames);
  }
  PyObject* coroutine =
      reinterpret_cast<PyFunctionObject*>(function)->vectorcall(function, args, nargsf, kwnames);
  if (coroutine == nullptr) {
    return nullptr;
  }
  return guard->plan.policies == nullptr ? BreakerCall::make_with(guard, coroutine)
                                         : make_pipeline_call_with(guard, coroutine);
}

PyObject* make_guarded_call(Guard* guard, PyObject* function, PyObject* const* args, Py_ssize_t nargs,
                            PyObject* kwnames) {
  return guard->plan.policies == nullptr ? BreakerCall::make(guard, function, args, nargs, kwnames)
                                         : make_pipeline_call(guard, function, args, nargs, kwnames);
}

bool init_guarded_call(PyObject* module) {
  return BreakerCall::init(
      module, "GuardedCall", "resilience._core.GuardedCall",
      "One call of a guarded function; awaitable once, and a coroutine in every other respect.");
}

}  // namespace resilience::bindings
