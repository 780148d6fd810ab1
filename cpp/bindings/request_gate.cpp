#include "request_gate.hpp"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <array>

#include "asgi_scope.hpp"
#include "bindings.hpp"
#include "py_ref.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

constexpr Nanos kLookEvery = 50 * kNanosPerMilli;  // the gauge of the loop measures ten times a second

struct Names {
  PyObject* serve_other;
  PyObject* adaptive;
  PyObject* max_active;
  PyObject* is_calm;
};
Names names;

PyTypeObject* gate_type = nullptr;

// The lag of the loop is a matter of tenths of a second, so it isn't looked at for each request.
int is_calm(RequestGate* gate) {
  const Nanos now = SystemClock::instance()->coarse_now();
  if (now - gate->looked >= kLookEvery) {
    const PyRef said(PyObject_CallMethodNoArgs(gate->admission, names.is_calm));
    const int calm = said ? PyObject_IsTrue(said.get()) : -1;
    if (calm < 0) {
      return -1;
    }
    gate->calm = calm != 0;
    gate->looked = now;
  }
  return gate->calm ? 1 : 0;
}

PyObject* gate_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  PyObject* scope = nullptr;
  PyObject* receive = nullptr;
  PyObject* send = nullptr;
  static const char* keywords[] = {"scope", "receive", "send", nullptr};
  if (kwargs == nullptr && PyTuple_GET_SIZE(args) == 3) [[likely]] {
    scope = PyTuple_GET_ITEM(args, 0);
    receive = PyTuple_GET_ITEM(args, 1);
    send = PyTuple_GET_ITEM(args, 2);
  } else if (PyArg_ParseTupleAndKeywords(args, kwargs, "OOO", const_cast<char**>(keywords), &scope, &receive,
                                         &send) == 0) {
    return nullptr;
  }
  const PyRef type(get_item(scope, asgi_names().type));
  if (!type) {
    return nullptr;
  }
  if (!is_text(type.get(), asgi_names().http)) {
    return PyObject_CallMethodObjArgs(self, names.serve_other, scope, receive, send, nullptr);
  }
  if (as_gate(self)->measured == nullptr || as_gate(self)->app == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "__init__() of this middleware has not been called");
    return nullptr;
  }
  return make_request_pass(as_gate(self), scope, receive, send);
}

int gate_init(PyObject* object, PyObject* args, PyObject* kwargs) {
  RequestGate* self = as_gate(object);
  PyObject* app = nullptr;
  PyObject* metrics = nullptr;
  PyObject* endpoints = nullptr;
  PyObject* names_of_endpoints = nullptr;
  PyObject* admission = nullptr;
  PyObject* lifecycle = nullptr;
  PyObject* correlation = nullptr;
  static const char* keywords[] = {"app",       "metrics",   "endpoints",   "endpoint_names",
                                   "admission", "lifecycle", "correlation", nullptr};
  if (PyArg_ParseTupleAndKeywords(args, kwargs, "O$OOO!OOO!", const_cast<char**>(keywords), &app, &metrics,
                                  &endpoints, &PySet_Type, &names_of_endpoints, &admission, &lifecycle,
                                  &PyContextVar_Type, &correlation) == 0) {
    return -1;
  }
  try {
    self->measured = py::handle(metrics).cast<RequestMetricsHandle*>();
  } catch (const py::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "metrics must be a RequestMetrics");
    return -1;
  }
  Py_XSETREF(self->app, Py_NewRef(app));
  Py_XSETREF(self->metrics, Py_NewRef(metrics));
  Py_XSETREF(self->endpoints, Py_NewRef(endpoints));
  Py_XSETREF(self->endpoint_names, Py_NewRef(names_of_endpoints));
  Py_XSETREF(self->admission, Py_NewRef(admission));
  Py_XSETREF(self->lifecycle, Py_NewRef(lifecycle));
  Py_XSETREF(self->correlation, Py_NewRef(correlation));
  self->looked = INT64_MIN / 2;
  return 0;
}

int gate_traverse(PyObject* object, visitproc visit, void* arg) {
  RequestGate* self = as_gate(object);
  Py_VISIT(self->app);
  Py_VISIT(self->metrics);
  Py_VISIT(self->endpoints);
  Py_VISIT(self->endpoint_names);
  Py_VISIT(self->admission);
  Py_VISIT(self->lifecycle);
  Py_VISIT(self->correlation);
  Py_VISIT(Py_TYPE(object));
  return 0;
}

int gate_clear(PyObject* object) {
  RequestGate* self = as_gate(object);
  self->measured = nullptr;
  Py_CLEAR(self->app);
  Py_CLEAR(self->metrics);
  Py_CLEAR(self->endpoints);
  Py_CLEAR(self->endpoint_names);
  Py_CLEAR(self->admission);
  Py_CLEAR(self->lifecycle);
  Py_CLEAR(self->correlation);
  return 0;
}

void gate_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  gate_clear(self);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// Servers look at `__call__` to learn whether an application is asynchronous, which an `async def` says best;
// but calling one should not cost its frame. So a class keeps its `__call__`, and what a call runs becomes
// native.
PyObject* call_natively(PyObject* type, PyObject* /*unused*/) {
  auto* self = reinterpret_cast<PyTypeObject*>(type);
  self->tp_call = gate_call;
  PyType_Modified(self);
  Py_RETURN_NONE;
}

PyObject* key_of(PyObject* /*module*/, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) {
    PyErr_SetString(PyExc_TypeError, "response_key() takes a scope and who names its subject");
    return nullptr;
  }
  return response_key(args[0], args[1]);
}

PyMethodDef methods[] = {
    {"_pass", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(gate_call)),
     METH_VARARGS | METH_KEYWORDS, "_pass(scope, receive, send): the pass of one connection, to be awaited."},
    {"_call_natively", call_natively, METH_CLASS | METH_NOARGS,
     "Let calls of this class's instances skip its `__call__`, which awaits `_pass`."},
    {nullptr}};

PyMemberDef members[] = {{"app", T_OBJECT_EX, offsetof(RequestGate, app), 0, "The application inside."},
                         {nullptr}};

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Native half of ResilienceMiddleware.")},
                       {Py_tp_init, reinterpret_cast<void*>(gate_init)},
                       {Py_tp_methods, methods},
                       {Py_tp_members, members},
                       {Py_tp_traverse, reinterpret_cast<void*>(gate_traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(gate_clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(gate_dealloc)},
                       {0, nullptr}};

PyType_Spec spec = {"resilience._core.RequestGate", sizeof(RequestGate), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

int surely_admits(RequestGate* gate, std::int64_t others) {
  const PyRef adaptive(PyObject_GetAttr(gate->admission, names.adaptive));
  if (!adaptive) {
    return -1;
  }
  if (adaptive.get() != Py_None) {
    return 0;
  }
  const PyRef limit(PyObject_GetAttr(gate->admission, names.max_active));
  const long long most = limit ? PyLong_AsLongLong(limit.get()) : -1;
  if (most == -1 && PyErr_Occurred() != nullptr) {
    return -1;
  }
  return others < most ? is_calm(gate) : 0;
}

bool init_request_gate(PyObject* module) {
  names = {PyUnicode_InternFromString("_serve_other"), PyUnicode_InternFromString("adaptive"),
           PyUnicode_InternFromString("max_active"), PyUnicode_InternFromString("is_calm")};
  gate_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return PyErr_Occurred() == nullptr &&
         PyModule_AddObjectRef(module, "RequestGate", reinterpret_cast<PyObject*>(gate_type)) == 0;
}

void register_request_gate(py::module_& module) {
  static PyMethodDef functions[] = {
      {"response_key", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(key_of)), METH_FASTCALL,
       "response_key(scope, subject_of): where a response cache keeps the answer to a request; None for one "
       "whose "
       "headers have a say in it."},
      {nullptr}};
  if (PyModule_AddFunctions(module.ptr(), functions) < 0 || !init_asgi_scope(module.ptr()) ||
      !init_request_gate(module.ptr()) || !init_request_pass(module.ptr())) {
    throw py::error_already_set();
  }
  module.def(
      "route_of",
      [](py::handle scope) { return py::reinterpret_steal<py::str>(route_of(scope.ptr()).release()); },
      "The template of the route that served a request.");
  module.def(
      "read_headers",
      [](py::handle headers) {
        RequestHeaders read;
        if (!read_headers(headers.ptr(), read)) {
          throw py::error_already_set();
        }
        return py::make_tuple(py::reinterpret_borrow<py::bytes>(read.identity.get()), read.has_body);
      },
      "A request's correlation id, made when it has no good one, and whether it announces a body.");
}

}  // namespace resilience::bindings
