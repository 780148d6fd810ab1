// What all requests of an application pass: the native base of `resilience.fastapi.ResilienceMiddleware`.
//
// Calling a gate makes the pass of one request (request_pass.cpp), which runs no Python code of this library
// as long as it is admitted, has no body and no settings of its own, and fails in nothing. For all else the
// pass awaits a coroutine of the gate's Python half:
//
// - _serve_other(scope, receive, send): a connection that is no HTTP request.
// - _serve_closely(policy, scope, receive, send): admission in doubt, a body to limit, or an endpoint's
// policy.
// - _answer(error, scope, receive, send): an exception came before the response began.
//
// Needs the GIL and the loop's thread.
#pragma once

#include <Python.h>

#include "request_metrics_handle.hpp"

namespace resilience::bindings {

struct RequestGate {
  PyObject_HEAD PyObject* app;  // what is inside, an ASGI application
  PyObject* endpoints;          // EndpointTable
  PyObject* endpoint_names;     // its set: while empty, no request has a policy
  PyObject* admission;          // Admission
  PyObject* lifecycle;          // Lifecycle
  PyObject* correlation;        // ContextVar of the correlation id
  PyObject* metrics;            // holds `measured`
  RequestMetricsHandle* measured;
  Nanos looked;  // when the admission was last asked whether the loop keeps up
  bool calm;     // it said yes
};

inline RequestGate* as_gate(PyObject* self) { return reinterpret_cast<RequestGate*>(self); }

bool init_request_gate(PyObject* module);
bool init_request_pass(PyObject* module);

// Whether one more request of normal priority beside `others` is admitted for sure. When not, the
// admission has to decide. -1 with an exception set.
int surely_admits(RequestGate* gate, std::int64_t others);

// The pass of one request (new reference): an awaitable.
PyObject* make_request_pass(RequestGate* gate, PyObject* scope, PyObject* receive, PyObject* send);

}  // namespace resilience::bindings
