// The Python type of every policy but the circuit breaker, and of pipelines: a guard whose plan is compiled
// from the policies it is given.
#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "circuit_breaker_type.hpp"
#include "guard.hpp"
#include "policy_layer.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// A member of the mapping, or null for None. The layer keeps a reference.
PyObject* owned_member(const py::dict& members, const char* name) {
  const py::object member = members[name];
  return member.is_none() ? nullptr : member.inc_ref().ptr();
}

template <typename Machine>
std::shared_ptr<Machine> machine_of(PyObject* owner) {
  return py::cast<std::shared_ptr<Machine>>(py::handle(owner).attr("_machine"));
}

void add_breaker(PolicyLayer& layer, const py::dict& members) {
  layer.breaker_owner = owned_member(members, "circuit_breaker");
  if (layer.breaker_owner == nullptr) {
    return;
  }
  const int known =
      PyObject_IsInstance(layer.breaker_owner, reinterpret_cast<PyObject*>(circuit_breaker_type()));
  if (known != 1) {
    throw py::type_error("circuit_breaker must be a CircuitBreaker");
  }
  auto* breaker = reinterpret_cast<BreakerObject*>(layer.breaker_owner);
  if (breaker->layer.machine == nullptr) {
    throw py::value_error("the circuit breaker was not initialised: call super().__init__() first");
  }
  layer.breaker = &breaker->layer;
  layer.breaker_fallback = Py_XNewRef(breaker->guard.plan.fallback);
  layer.breaker_fallback_callable = breaker->guard.plan.fallback_callable;
}

void add_limits(PolicyLayer& layer, const py::dict& members) {
  layer.rate_owner = owned_member(members, "rate_limit");
  if (layer.rate_owner != nullptr) {
    const py::handle owner(layer.rate_owner);
    layer.rate = machine_of<RateLimiterHandle>(layer.rate_owner);
    layer.rate_waits = owner.attr("_max_wait").cast<double>() > 0.0;
    const py::object key = owner.attr("_key");
    layer.rate_key = key.is_none() ? nullptr : key.inc_ref().ptr();
  }
  layer.bulkhead_owner = owned_member(members, "bulkhead");
  if (layer.bulkhead_owner != nullptr) {
    layer.bulkhead = machine_of<Bulkhead>(layer.bulkhead_owner);
  }
  layer.adaptive_owner = owned_member(members, "adaptive_limit");
  if (layer.adaptive_owner != nullptr) {
    layer.adaptive = machine_of<AdaptiveLimitHandle>(layer.adaptive_owner);
  }
}

void add_timeouts(PolicyLayer& layer, const py::dict& members) {
  layer.timeout_owner = owned_member(members, "timeout");
  if (layer.timeout_owner != nullptr && !py::handle(layer.timeout_owner).attr("_machine").is_none()) {
    layer.timeout = machine_of<TimeoutQueue>(layer.timeout_owner);
  }
  layer.total_owner = owned_member(members, "total_timeout");
  if (layer.total_owner != nullptr) {
    layer.total = machine_of<TimeoutQueue>(layer.total_owner);
  }
}

std::unique_ptr<PolicyLayer> compile(const py::dict& members) {
  auto layer = std::make_unique<PolicyLayer>();
  layer->attempts = owned_member(members, "attempts");
  add_breaker(*layer, members);
  add_limits(*layer, members);
  add_timeouts(*layer, members);
  layer->fallback_owner = owned_member(members, "fallback");
  layer->hedges = !py::object(members["hedge"]).is_none();
  const py::object retry = members["retry"];
  layer->retries = !retry.is_none();
  if (layer->retries) {
    layer->budget = py::cast<std::shared_ptr<RetryHandle>>(retry.attr("_machine"))->budget;
  }
  return layer;
}

PyObject* set_layer(PyObject* self, PyObject* members) {
  try {
    auto layer = compile(py::reinterpret_borrow<py::dict>(members));
    Plan& plan = reinterpret_cast<Guard*>(self)->plan;
    plan.keeps_arguments = layer->keeps_arguments();
    if (PolicyLayer* old = std::exchange(plan.policies, layer.release())) {
      leave(old);
    }
    Py_RETURN_NONE;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyMethodDef methods[] = {
    {"_set_layer", set_layer, METH_O, "Compile the policies; calls under way keep the old ones."}, {nullptr}};

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Native half of policies and pipelines.")},
                       {Py_tp_methods, methods},
                       {0, nullptr}};

PyType_Spec spec = {"resilience._core.PolicyGuard", sizeof(Guard), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

bool init_policy_type(PyObject* module) {
  PyObject* bases = PyTuple_Pack(1, reinterpret_cast<PyObject*>(guard_type()));
  PyObject* type = bases == nullptr ? nullptr : PyType_FromSpecWithBases(&spec, bases);
  Py_XDECREF(bases);
  const bool added = type != nullptr && PyModule_AddObjectRef(module, "PolicyGuard", type) == 0;
  Py_XDECREF(type);
  return added;
}

}  // namespace resilience::bindings
