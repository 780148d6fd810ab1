#include <pybind11/stl.h>

#include "awaitable.hpp"
#include "bindings.hpp"
#include "errors.hpp"
#include "guard.hpp"
#include "policy_layer.hpp"

namespace resilience::bindings {

void register_guards(pybind11::module_& module) {
  PyObject* raw = module.ptr();
  if (!init_awaitables(raw) || !init_errors() || !init_guard(raw) || !init_guarded_call(raw) ||
      !init_guarded_function(raw) || !init_pipeline_call(raw) || !init_policy_type(raw)) {
    throw pybind11::error_already_set();
  }
  module.def("running_time_left", &running_time_left,
             "Seconds that the shortest timeout of a pipeline around the running code has left, or None.");
}

}  // namespace resilience::bindings
