#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace resilience::bindings;
  module.doc() = "Native core of resilience. Private: use the names that `resilience` exports.";
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
