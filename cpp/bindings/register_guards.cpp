#include <pybind11/stl.h>

#include "awaitable.hpp"
#include "bindings.hpp"
#include "bypass.hpp"
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
  module.def(
      "bypass", [](bool on) { bypasses += on ? 1 : -1; }, pybind11::arg("on"),
      "Begin, or end, calling functions as if no policy and no cache stood before them; it nests.");
  module.def("bypassed", &bypassed, "Whether functions are called so now.");
  module.def("running_time_left", &running_time_left,
             "Seconds that the shortest timeout of a pipeline around the running code has left, or None.");
}

}  // namespace resilience::bindings
