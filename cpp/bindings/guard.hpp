// The objects behind every protected call.
//
// Guard            a policy, or several: the base of CircuitBreaker and of everything else that wraps
// functions GuardedFunction  a function under a guard: what a decorator returns, calling it makes a
// GuardedCall GuardedCall      one call: an awaitable that asks the guard at its first step and reports when
// it ends
//
// A plan is what a guard decided at construction; a call only reads it.
#pragma once

#include <Python.h>

#include <optional>

#include "breaker_layer.hpp"

namespace resilience::bindings {

struct PolicyLayer;

struct Plan {
  BreakerLayer* breaker = nullptr;    // null: none
  PyObject* breaker_owner = nullptr;  // keeps `breaker` alive when it is another guard's
  PyObject* fallback = nullptr;       // what answers instead of a rejection; null: nothing
  bool fallback_callable = false;
  bool keeps_arguments = false;     // they are needed besides the first call: by a fallback, to call again
  PolicyLayer* policies = nullptr;  // further policies, and then the breaker and its fallback too; null: none
};

struct Guard {
  PyObject_HEAD Plan plan;
};

enum class FunctionKind : unsigned char { kCoroutine, kPlain, kAsyncGenerator, kGenerator };

bool init_guard(PyObject* module);
bool init_guarded_call(PyObject* module);
bool init_guarded_function(PyObject* module);
bool init_pipeline_call(PyObject* module);

PyTypeObject* guard_type();

// A call of `function` with vectorcall arguments, not yet started (new reference).
PyObject* make_guarded_call(Guard* guard, PyObject* function, PyObject* const* args, Py_ssize_t nargs,
                            PyObject* kwnames);
// Whether calling `function` makes a coroutine and runs nothing of it.
bool makes_coroutine(PyObject* function);
// make_guarded_call() for such a function, with the coroutine made at once unless the plan keeps arguments.
PyObject* make_started_call(Guard* guard, PyObject* function, PyObject* const* args, std::size_t nargsf,
                            PyObject* kwnames);
// The same under a guard with a policy layer, and with the function's coroutine (stolen).
PyObject* make_pipeline_call(Guard* guard, PyObject* function, PyObject* const* args, Py_ssize_t nargs,
                             PyObject* kwnames);
PyObject* make_pipeline_call_with(Guard* guard, PyObject* coroutine);
// Seconds that the shortest timeout of a pipeline around the code running on this thread has left.
std::optional<double> running_time_left();
// Runs a plain function under the guard, now.
PyObject* call_plain(Guard* guard, PyObject* function, PyObject* const* args, std::size_t nargsf,
                     PyObject* kwnames);
// What a fallback answers for a plain function (new reference); an async one can't.
PyObject* answer_plain(PyObject* fallback, PyObject* const* args, std::size_t nargsf, PyObject* kwnames);
// A wrapper of `function` (new reference). `stream` makes the object that drives a generator, null for the
// rest.
PyObject* make_guarded_function(Guard* guard, PyObject* function, FunctionKind kind, PyObject* stream);

int traverse_plan(const Plan& plan, visitproc visit, void* arg);
void clear_plan(Plan& plan);

}  // namespace resilience::bindings
