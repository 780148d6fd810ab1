// The extension module, for the main interpreter of a process with its GIL: reference counts are compared,
// and free lists, classes and looked-up names are kept once a process.

#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "resilience needs an interpreter with the GIL: free-threaded ones, as python3.14t, are not supported"
#endif

#include "bindings.hpp"
#include "running_loop.hpp"

namespace {

constexpr char kMainOnly[] =
    "resilience runs in the main interpreter of a process; subinterpreters are not supported";

bool in_main_interpreter() { return PyInterpreterState_Get() == PyInterpreterState_Main(); }

}  // namespace

// Asked before pybind11 does anything, because in a subinterpreter of 3.11 it waits for ever; and again in
// the module's own code, because from 3.13 on this runs in the main interpreter whichever one imports.
extern "C" PyObject* PyInit_native();
// The interpreter looks for this name.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
PyMODINIT_FUNC PyInit__core() {
  if (!in_main_interpreter()) {
    PyErr_SetString(PyExc_ImportError, kMainOnly);
    return nullptr;
  }
  return PyInit_native();
}

PYBIND11_MODULE(native, module) {
  using namespace resilience::bindings;
  if (!in_main_interpreter()) {
    throw pybind11::import_error(kMainOnly);
  }
  module.doc() = "Native core of resilience. Private: use the names that `resilience` exports.";
  if (!init_running_loop()) {
    throw pybind11::error_already_set();
  }
  register_clock(module);
  register_engine(module);
  register_batcher(module);
  register_health_probe(module);
  register_guards(module);
  register_circuit_breaker(module);
  register_cache(module);
  register_adaptive_limit(module);
  register_bulkhead(module);
  register_hedge(module);
  register_rate_limiter(module);
  register_retry(module);
  register_timeout_queue(module);
  register_forecast(module);
  register_system_probe(module);
  register_allocator(module);
  register_allocator_monitor(module);
  register_request_metrics(module);
  register_request_gate(module);
}
