#include "awaitable.hpp"
#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace resilience::bindings;
  module.doc() = "Native core of resilience. Private: use the names that `resilience` exports.";
  if (!init_awaitables(module.ptr())) {
    throw pybind11::error_already_set();
  }
  register_clock(module);
  register_engine(module);
}
