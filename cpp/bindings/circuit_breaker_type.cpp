#include "circuit_breaker_type.hpp"

#include <new>

namespace resilience::bindings {

namespace {

PyTypeObject* type = nullptr;

BreakerLayer& layer_of(PyObject* self) { return reinterpret_cast<BreakerObject*>(self)->layer; }

PyObject* breaker_new(PyTypeObject* own_type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* self = own_type->tp_alloc(own_type, 0);
  if (self != nullptr) {
    auto* layer = new (&layer_of(self)) BreakerLayer();
    layer->owner = self;
  }
  return self;
}

int breaker_traverse(PyObject* self, visitproc visit, void* arg) {
  const BreakerLayer& layer = layer_of(self);
  Py_VISIT(layer.name);
  Py_VISIT(layer.failure_on);
  Py_VISIT(layer.ignore);
  Py_VISIT(layer.failure_result);
  return guard_type()->tp_traverse(self, visit, arg);
}

int breaker_clear(PyObject* self) {
  BreakerLayer& layer = layer_of(self);
  Py_CLEAR(layer.failure_on);
  Py_CLEAR(layer.ignore);
  Py_CLEAR(layer.failure_result);
  return guard_type()->tp_clear(self);
}

void breaker_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  breaker_clear(self);
  Py_CLEAR(layer_of(self).name);
  layer_of(self).~BreakerLayer();
  PyTypeObject* own_type = Py_TYPE(self);
  own_type->tp_free(self);
  Py_DECREF(reinterpret_cast<PyObject*>(own_type));
}

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Native half of CircuitBreaker.")},
                       {Py_tp_new, reinterpret_cast<void*>(breaker_new)},
                       {Py_tp_traverse, reinterpret_cast<void*>(breaker_traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(breaker_clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(breaker_dealloc)},
                       {0, nullptr}};

PyType_Spec spec = {"resilience._core.CircuitBreakerBase", sizeof(BreakerObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

PyTypeObject* circuit_breaker_type() { return type; }

bool init_circuit_breaker_type(PyObject* module) {
  PyObject* bases = PyTuple_Pack(1, reinterpret_cast<PyObject*>(guard_type()));
  type = bases == nullptr ? nullptr : reinterpret_cast<PyTypeObject*>(PyType_FromSpecWithBases(&spec, bases));
  Py_XDECREF(bases);
  return type != nullptr &&
         PyModule_AddObjectRef(module, "CircuitBreakerBase", reinterpret_cast<PyObject*>(type)) == 0;
}

}  // namespace resilience::bindings
