// One register function a concept; module.cpp calls them in order of dependence.
#pragma once

#include <pybind11/pybind11.h>

namespace resilience::bindings {

void register_clock(pybind11::module_& module);
void register_engine(pybind11::module_& module);
void register_batcher(pybind11::module_& module);
void register_health_probe(pybind11::module_& module);
void register_guards(pybind11::module_& module);
void register_circuit_breaker(pybind11::module_& module);
void register_cache(pybind11::module_& module);

}  // namespace resilience::bindings
