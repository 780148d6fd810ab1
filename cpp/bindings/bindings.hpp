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
void register_adaptive_limit(pybind11::module_& module);
void register_bulkhead(pybind11::module_& module);
void register_hedge(pybind11::module_& module);
void register_rate_limiter(pybind11::module_& module);
void register_retry(pybind11::module_& module);
void register_timeout_queue(pybind11::module_& module);
void register_forecast(pybind11::module_& module);
void register_system_probe(pybind11::module_& module);
void register_allocator(pybind11::module_& module);
void register_allocator_monitor(pybind11::module_& module);
void register_request_metrics(pybind11::module_& module);
void register_request_gate(pybind11::module_& module);

}  // namespace resilience::bindings
