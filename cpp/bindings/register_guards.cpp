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
}

}  // namespace resilience::bindings
