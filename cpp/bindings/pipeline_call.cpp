// A call under several policies, as one awaitable.
//
// The first step passes every layer, calls the function and steps what it returned: on the path where nothing
// waits, fails or suspends, nothing but the function runs Python. Timeouts are armed when the call first
// suspends. A queue is waited for in a coroutine of the queue's owner, and the call goes on here afterwards;
// a failed attempt that is to be made again, and hedging, go over to a coroutine of the pipeline, whose
// attempts are calls like this one.
//
//   waiting ──▶ attempt ──▶ (result)
//      └──────────┴─ error ──▶ slow (made again) ── error ──▶ answer (fallback) ──▶ (result or error)
#include <new>
#include <utility>

#include "call_type.hpp"
#include "guard.hpp"
#include "policy_layer.hpp"
#include "py_ref.hpp"
#include "resilience/deadline.hpp"
#include "timed_step.hpp"

namespace resilience::bindings {

// Once more, since optimising across files goes by the definition: without it each step looks it up by calls.
[[gnu::tls_model("initial-exec")]] thread_local TimedStep* TimedStep::innermost_ = nullptr;

namespace {

struct PipelineDriver {
  using Call = PipelineCall;
  using Stepping = TimedStep;

  static void create(Call* self) {
    self->layer = nullptr;
    self->made = nullptr;
    self->stage = Stage::kAttempt;
    new (&self->permits) Permits();
    new (&self->timeout) TimeoutEntry();
    new (&self->total) TimeoutEntry();
  }
  static int traverse(Call* self, visitproc visit, void* arg) {
    Py_VISIT(self->made);
    Py_VISIT(self->timeout.task);
    Py_VISIT(self->total.task);
    return 0;
  }

  // A call that was made and never begun still holds its policies.
  static void drop(Call* self) {
    if (self->layer != nullptr && self->phase == Phase::kClosed) {
      leave_layer(self);
    }
  }

  static PySendResult start(Call* self, PyObject** result) {
    if (self->layer == nullptr) {
      self->layer = use(self->guard->plan.policies);
    }
    PolicyLayer& layer = *self->layer;
    self->permits.next = Layer::kBreaker;
    if (layer.budget) {
      layer.budget->machine.on_call();
    }
    if (layer.hedges) {
      return go_slow(self, nullptr, result);
    }
    return pass(self, layer, result);
  }

  static PySendResult conclude(Call* self, PySendResult outcome, PyObject** result) {
    switch (outcome) {
      case PYGEN_NEXT:
        return suspended(self, result);
      case PYGEN_RETURN:
        return returned(self, result);
      case PYGEN_ERROR:
        break;
    }
    return raised(self, result);
  }

  static void release(Call* self) {
    stop_timers(self);
    give_up_made(self);
    leave_without_verdict(*self->layer, self->permits);
    leave_layer(self);
  }

  static void fail(Call* self) {
    stop_timers(self);
    give_up_made(self);
    leave_with_error(*self->layer, self->permits);
    leave_layer(self);
  }

 private:
  // The call ends while its function's coroutine waits to be run: it never will, and goes on naming the call.
  static void give_up_made(Call* self) {
    if (self->made != nullptr) {
      Py_XSETREF(self->inner, std::exchange(self->made, nullptr));
      discard_made(self->inner);
    }
  }

  static void leave_layer(Call* self) { leave(std::exchange(self->layer, nullptr)); }
  static Arguments arguments_of(Call* self) { return {self->args, self->nargs, self->kwnames}; }

  static void stop_timers(Call* self) {
    TimeoutQueue::finish(self->timeout);
    TimeoutQueue::finish(self->total);
  }

  // ---- on the way in

  static PySendResult pass(Call* self, PolicyLayer& layer, PyObject** result) {
    PyObject* key = nullptr;
    switch (enter(layer, self->permits, arguments_of(self), &key)) {
      case Passage::kInside:
        break;
      case Passage::kWaits:
        return wait(self, layer, key, result);
      case Passage::kRefused:
        return refused(self, layer, result);
    }
    self->stage = Stage::kAttempt;
    if (self->function == nullptr) [[likely]] {
      const PySendResult outcome = step_made(self, result);
      return conclude(self, outcome, result);
    }
    PyObject* awaitable = call_with_arguments(self, self->function);
    if (awaitable == nullptr) {
      return raised(self, result);
    }
    if (!is_awaitable(awaitable)) [[unlikely]] {  // a mistake of whoever calls: no verdict, retry or fallback
      release(self);
      refuse_to_await(awaitable);
      finish(self);
      return PYGEN_ERROR;
    }
    if (!layer.keeps_arguments()) {
      drop_arguments(self);
    }
    return step_new(self, awaitable, result);
  }

  // Steps an awaitable (stolen) for the first time; self->stage says what it is.
  static PySendResult step_new(Call* self, PyObject* awaitable, PyObject** result) {
    if (!set_inner(self, awaitable)) {
      return raised(self, result);
    }
    const PySendResult outcome = step(self->inner, Py_None, result);
    return conclude(self, outcome, result);
  }

  static PySendResult wait(Call* self, PolicyLayer& layer, PyObject* key, PyObject** result) {
    const PyRef owned_key(key);
    PyObject* owner = owner_of(layer, self->permits.next);
    self->stage = Stage::kWaiting;
    if (self->function == nullptr) {
      self->made = std::exchange(self->inner, nullptr);
    }
    PyObject* coroutine = self->permits.next == Layer::kRate
                              ? PyObject_CallMethod(owner, "_wait", "O", key == nullptr ? Py_None : key)
                              : PyObject_CallMethod(owner, "_wait", nullptr);
    return coroutine == nullptr ? raised(self, result) : step_new(self, coroutine, result);
  }

  // The breaker's own fallback answers its rejections, inside everything else.
  static PySendResult refused(Call* self, PolicyLayer& layer, PyObject** result) {
    self->stage = Stage::kAttempt;
    if (self->function == nullptr) {
      discard_made(self->inner);
    }
    PyObject* fallback = layer.breaker_fallback;
    if (fallback == nullptr || self->permits.breaker) {
      return raised(self, result);
    }
    PyErr_Clear();
    const bool callable = layer.breaker_fallback_callable;
    PyObject* answer = callable ? call_with_arguments(self, fallback) : Py_NewRef(fallback);
    return answer == nullptr ? raised(self, result) : take_answer(self, answer, callable, result);
  }

  // ---- on the way out

  static PySendResult suspended(Call* self, PyObject** result) {
    const PolicyLayer& layer = *self->layer;
    if (layer.total && self->total.task == nullptr && self->stage != Stage::kAnswer &&
        !arm(self, *layer.total, self->total)) [[unlikely]] {
      return not_timed(self, result);
    }
    if (layer.timeout && self->timeout.task == nullptr && self->stage == Stage::kAttempt &&
        !arm(self, *layer.timeout, self->timeout)) [[unlikely]] {
      return not_timed(self, result);
    }
    self->phase = Phase::kSuspended;
    return PYGEN_NEXT;
  }

  static bool arm(Call* self, TimeoutQueue& queue, TimeoutEntry& entry) {
    const BreakerLayer* breaker = self->permits.breaker ? self->layer->breaker : nullptr;
    if (breaker == nullptr || breaker->time != queue.time()) {
      return queue.arm(entry);
    }
    Nanos running = 0;
    const Nanos now = breaker->time.now_since(self->permits.run.started, running);
    return queue.arm(entry, now - running);
  }

  // The function suspended where nobody can time it out: it must not go on.
  static PySendResult not_timed(Call* self, PyObject** result) {
    PyObject* error = take_error();
    Py_CLEAR(*result);
    if (!close_iterator(self->inner)) {
      PyErr_WriteUnraisable(self->inner);
    }
    put_error(error);
    return raised(self, result);
  }

  static PySendResult returned(Call* self, PyObject** result) {
    PolicyLayer& layer = *self->layer;
    if (self->stage == Stage::kWaiting) {
      Py_CLEAR(*result);
      Py_XSETREF(self->inner, std::exchange(self->made, nullptr));
      passed(layer, self->permits);
      return pass(self, layer, result);
    }
    if (self->stage == Stage::kAttempt) {
      TimeoutQueue::finish(self->timeout);
      leave_with_result(layer, self->permits, *result);
    }
    TimeoutQueue::finish(self->total);
    leave_layer(self);
    finish(self);
    return PYGEN_RETURN;
  }

  static PySendResult raised(Call* self, PyObject** result) {
    PolicyLayer& layer = *self->layer;
    const Stage stage = self->stage;
    give_up_made(self);
    if (stage == Stage::kWaiting || stage == Stage::kAttempt) {
      if (TimeoutQueue::finish(self->timeout)) {
        time_out(layer.timeout_owner, *layer.timeout);
      }
      leave_with_error(layer, self->permits);
      if (layer.retries && PyErr_ExceptionMatches(PyExc_Exception)) {
        Py_CLEAR(self->inner);
        return go_slow(self, take_error(), result);
      }
    }
    if (TimeoutQueue::finish(self->total)) {
      time_out(layer.total_owner, *layer.total);
    }
    if (layer.fallback_owner != nullptr && stage != Stage::kAnswer &&
        PyErr_ExceptionMatches(PyExc_Exception)) {
      return fall_back(self, layer, result);
    }
    leave_layer(self);
    finish(self);
    return PYGEN_ERROR;
  }

  // The pipeline takes over: after `error` (stolen), or from the start. It answers None when the error is the
  // last word.
  static PySendResult go_slow(Call* self, PyObject* error, PyObject** result) {
    const PyRef owned_error(error);
    const Arguments call = arguments_of(self);
    const PyRef args(call.positional());
    const PyRef kwargs(args ? call.keywords() : nullptr);
    self->stage = Stage::kSlow;
    if (!kwargs) {
      return raised(self, result);
    }
    const PyRef left(time_left(self));
    PyObject* coroutine =
        !left ? nullptr
              : PyObject_CallMethod(self->layer->attempts, "take_over", "OOOOO", self->function, args.get(),
                                    kwargs.get(), error == nullptr ? Py_None : error, left.get());
    if (coroutine == Py_None) {
      Py_DECREF(coroutine);
      put_error(Py_NewRef(error));
      return raised(self, result);
    }
    return coroutine == nullptr ? raised(self, result) : step_new(self, coroutine, result);
  }

  // Seconds of the total timeout that are left, or None without one.
  static PyObject* time_left(Call* self) {
    const auto& total = self->layer->total;
    if (!total) {
      return Py_NewRef(Py_None);
    }
    const Nanos left =
        self->total.armed() ? remaining(self->total.deadline, total->time().now()) : total->length();
    return PyFloat_FromDouble(seconds_from_nanos(left));
  }

  static PySendResult fall_back(Call* self, PolicyLayer& layer, PyObject** result) {
    PyObject* error = take_error();
    const PyRef matches(PyObject_CallMethod(layer.fallback_owner, "_matches", "O", error));
    if (matches.get() != Py_True) {
      if (matches) {
        put_error(error);
      } else {
        Py_DECREF(error);
      }
      self->stage = Stage::kAnswer;
      return raised(self, result);
    }
    Py_DECREF(error);
    Py_CLEAR(self->inner);
    const Arguments call = arguments_of(self);
    const PyRef args(call.positional());
    const PyRef kwargs(args ? call.keywords() : nullptr);
    PyObject* answer =
        kwargs ? PyObject_CallMethod(layer.fallback_owner, "_result", "OO", args.get(), kwargs.get())
               : nullptr;
    self->stage = Stage::kAnswer;
    return answer == nullptr ? raised(self, result) : take_answer(self, answer, true, result);
  }

  // A fallback's answer (stolen): what an async function gave is awaited, a value is the result.
  static PySendResult take_answer(Call* self, PyObject* answer, bool from_function, PyObject** result) {
    self->stage = Stage::kAnswer;
    if (from_function && is_awaitable(answer)) {
      return step_new(self, answer, result);
    }
    *result = answer;
    return returned(self, result);
  }
};

using PipelineCallType = CallType<PipelineDriver>;

}  // namespace

PyObject* make_pipeline_call(Guard* guard, PyObject* function, PyObject* const* args, Py_ssize_t nargs,
                             PyObject* kwnames) {
  return PipelineCallType::make(guard, function, args, nargs, kwnames);
}

PyObject* make_pipeline_call_with(Guard* guard, PyObject* coroutine) {
  PyObject* call = PipelineCallType::make_with(guard, coroutine);
  if (call != nullptr) {
    // Policies that replace these before the first step may need the arguments, which are the coroutine's
    // now.
    reinterpret_cast<PipelineCall*>(call)->layer = use(guard->plan.policies);
  }
  return call;
}

std::optional<double> running_time_left() {
  const Nanos left = TimedStep::shortest_left();
  return left == kForever ? std::nullopt : std::optional(seconds_from_nanos(left));
}

bool init_pipeline_call(PyObject* module) {
  return PipelineCallType::init(
      module, "PipelineCall", "resilience._core.PipelineCall",
      "One call under several policies; awaitable once, and a coroutine in every other respect.");
}

}  // namespace resilience::bindings
