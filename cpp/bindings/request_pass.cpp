// The pass of one request through the gate, as one object with two faces: the awaitable that the server
// awaits, and the `send` that the application is given.
//
// The first step reads the request's headers, names it, admits it, and steps the application. As `send` it
// notes the status and adds headers to the beginning of the response. At the end, however it comes, it counts
// the request and gives the name back. Where more is to be decided, the gate's Python half is stepped in
// place of the application.
//
//   application, or _serve_closely ── exception before the response began ──▶ _answer ──▶ end
#include <utility>

#include "asgi_scope.hpp"
#include "call_type.hpp"
#include "py_ref.hpp"
#include "request_gate.hpp"

namespace resilience::bindings {

namespace {

struct Names {
  PyObject* find;
  PyObject* serve_closely;
  PyObject* answer;
  PyObject* is_draining;
  PyObject* close_header;  // (b"connection", b"close")
};
Names names;

// Its function is the gate, its arguments are (scope, receive, send).
struct RequestPass : CallFrame {
  vectorcallfunc call;
  PyObject* send;      // the server's; outlives the request, as what was given to the application may
  PyObject* identity;  // bytes
  PyObject* token;     // of the context variable; null before the request has begun and after it has ended
  TimeSource::Stamp started;
  int status;      // that the response began with, 0 before
  bool answering;  // in place of the application, which failed
};

RequestGate* gate_of(const RequestPass* self) { return as_gate(self->function); }
PyObject* scope_of(const RequestPass* self) { return self->args[0]; }
PyObject* as_object(RequestPass* self) { return reinterpret_cast<PyObject*>(self); }

// ---- what the application is given as `send`

// Takes a header out of a list: an application may name the request itself, as one under a gate of its own
// does.
bool without_header(PyObject* headers, PyObject* name) {
  for (Py_ssize_t i = PyList_GET_SIZE(headers); i-- > 0;) {
    const PyRef given(PySequence_GetItem(PyList_GET_ITEM(headers, i), 0));
    const int same = given ? PyObject_RichCompareBool(given.get(), name, Py_EQ) : -1;
    if (same < 0 || (same != 0 && PyList_SetSlice(headers, i, i + 1, nullptr) < 0)) {
      return false;
    }
  }
  return true;
}

// A new list, since the application may use its own again.
PyObject* with_own_headers(const RequestPass* self, PyObject* headers) {
  const PyRef draining(PyObject_GetAttr(gate_of(self)->lifecycle, names.is_draining));
  const int closes = draining ? PyObject_IsTrue(draining.get()) : -1;
  if (closes < 0) {
    return nullptr;
  }
  PyRef all(headers == nullptr ? PyList_New(0) : PySequence_List(headers));
  const PyRef named(PyTuple_Pack(2, asgi_names().correlation_header, self->identity));
  if (!all || !named || !without_header(all.get(), asgi_names().correlation_header) ||
      PyList_Append(all.get(), named.get()) < 0 ||
      (closes != 0 && PyList_Append(all.get(), names.close_header) < 0)) {
    return nullptr;
  }
  return all.release();
}

bool begin_response(RequestPass* self, PyObject* message) {
  const PyRef status(get_item(message, asgi_names().status));
  const long code = status ? PyLong_AsLong(status.get()) : -1;
  if (code == -1 && PyErr_Occurred() != nullptr) {
    return false;
  }
  self->status = static_cast<int>(code);
  const PyRef given(find_item(message, asgi_names().headers));
  if (!given && PyErr_Occurred() != nullptr) {
    return false;
  }
  const PyRef headers(with_own_headers(self, given.get()));
  return headers && PyObject_SetItem(message, asgi_names().headers, headers.get()) == 0;
}

PyObject* pass_send(PyObject* object, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  auto* self = reinterpret_cast<RequestPass*>(object);
  if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != nullptr || self->send == nullptr) {
    PyErr_SetString(PyExc_TypeError, "send() takes one message, while its request is served");
    return nullptr;
  }
  const PyRef type(get_item(args[0], asgi_names().type));
  if (!type || (is_text(type.get(), asgi_names().response_start) && !begin_response(self, args[0]))) {
    return nullptr;
  }
  return PyObject_CallOneArg(self->send, args[0]);
}

// ---- what the server awaits

struct PassDriver {
  using Call = RequestPass;
  struct Stepping {
    explicit Stepping(const Call* /*self*/) {}
  };

  static void complete(PyTypeObject& type) {
    type.tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    type.tp_vectorcall_offset = sizeof(CallFrame);  // of `call`
    type.tp_call = PyVectorcall_Call;
  }
  static void create(Call* self) {
    self->call = pass_send;
    self->send = nullptr;
    self->identity = nullptr;
    self->token = nullptr;
  }
  static void drop(Call* self) {
    Py_CLEAR(self->send);
    Py_CLEAR(self->identity);
    Py_CLEAR(self->token);
  }
  static int traverse(Call* self, visitproc visit, void* arg) {
    Py_VISIT(self->send);
    Py_VISIT(self->token);
    return 0;
  }

  static PySendResult start(Call* self, PyObject** result) {
    RequestHeaders headers;
    if (!begin(self, headers)) {
      finish(self);
      return PYGEN_ERROR;
    }
    return step_new(self, enter(self, headers.has_body), result);
  }

  static PySendResult conclude(Call* self, PySendResult outcome, PyObject** result) {
    switch (outcome) {
      case PYGEN_NEXT:
        self->phase = Phase::kSuspended;
        return PYGEN_NEXT;
      case PYGEN_RETURN:
        Py_SETREF(*result, Py_NewRef(Py_None));
        end(self);
        finish(self);
        return PYGEN_RETURN;
      case PYGEN_ERROR:
        break;
    }
    return raised(self, result);
  }

  static void release(Call* self) { end(self); }
  static void fail(Call* self) { end(self); }

 private:
  // A request keeps its name when it passes the gate of an application mounted in another.
  static bool share_identity(PyObject* scope, RequestHeaders& read) {
    PyRef outer(find_item(scope, asgi_names().correlation_in_scope));
    if (outer && PyBytes_Check(outer.get())) {
      read.identity = std::move(outer);
      return true;
    }
    return PyErr_Occurred() == nullptr &&
           PyObject_SetItem(scope, asgi_names().correlation_in_scope, read.identity.get()) == 0;
  }

  // Names the request and counts it in.
  static bool begin(Call* self, RequestHeaders& read) {
    RequestGate* gate = gate_of(self);
    const PyRef headers(get_item(scope_of(self), asgi_names().headers));
    if (!headers || !read_headers(headers.get(), read) || !share_identity(scope_of(self), read)) {
      return false;
    }
    const PyRef name(PyUnicode_DecodeASCII(PyBytes_AS_STRING(read.identity.get()),
                                           PyBytes_GET_SIZE(read.identity.get()), nullptr));
    self->token = name ? PyContextVar_Set(gate->correlation, name.get()) : nullptr;
    if (self->token == nullptr) {
      return false;
    }
    self->identity = read.identity.release();
    self->send = Py_NewRef(self->args[2]);
    self->status = 0;
    self->answering = false;
    self->started = gate->measured->time.stamp();
    ++gate->measured->machine.active;
    return true;
  }

  // What serves the request (new reference), called; null with an exception set.
  static PyObject* enter(Call* self, bool has_body) {
    RequestGate* gate = gate_of(self);
    PyRef policy = PyRef::share(Py_None);
    if (PySet_GET_SIZE(gate->endpoint_names) != 0) {
      policy = PyRef(PyObject_CallMethodOneArg(gate->endpoints, names.find, scope_of(self)));
      if (!policy) {
        return nullptr;
      }
    }
    int free = 0;
    if (!has_body && policy.get() == Py_None) {
      free = surely_admits(gate, gate->measured->machine.active - 1);
    }
    if (free < 0) {
      return nullptr;
    }
    if (free == 0) [[unlikely]] {
      return PyObject_CallMethodObjArgs(self->function, names.serve_closely, policy.get(), self->args[0],
                                        self->args[1], as_object(self), nullptr);
    }
    PyObject* const inside[] = {self->args[0], self->args[1], as_object(self)};
    const PyRef app = PyRef::share(gate->app);
    return PyObject_Vectorcall(app.get(), inside, 3, nullptr);
  }

  // Steps an awaitable (stolen, may be null with an exception set) for the first time.
  static PySendResult step_new(Call* self, PyObject* awaitable, PyObject** result) {
    if (awaitable == nullptr || !set_inner(self, awaitable)) {
      return raised(self, result);
    }
    const PySendResult outcome = step(self->inner, Py_None, result);
    return conclude(self, outcome, result);
  }

  // An exception is set. Before the response began the client gets an answer, after that the server cuts it
  // off.
  static PySendResult raised(Call* self, PyObject** result) {
    if (!self->answering && self->status == 0 && PyErr_ExceptionMatches(PyExc_Exception) != 0) {
      self->answering = true;
      const PyRef error(take_error());
      Py_CLEAR(self->inner);
      PyObject* answer = PyObject_CallMethodObjArgs(self->function, names.answer, error.get(), self->args[0],
                                                    self->args[1], as_object(self), nullptr);
      return step_new(self, answer, result);
    }
    end(self);
    finish(self);
    return PYGEN_ERROR;
  }

  // The request is over, once. Keeps a pending exception.
  static void end(Call* self) {
    if (self->token == nullptr) {
      return;
    }
    const SavedError pending;
    const RequestGate* gate = gate_of(self);
    RequestMetricsHandle& measured = *gate->measured;
    --measured.machine.active;
    observe(self, measured);
    const PyRef token(std::exchange(self->token, nullptr));
    if (PyContextVar_Reset(gate->correlation, token.get()) < 0) {
      PyErr_Clear();  // closed in another context, where the request never had a name
    }
  }

  static void observe(const Call* self, RequestMetricsHandle& measured) {
    Nanos duration = 0;
    const Nanos now = measured.time.now_since(self->started, duration);
    const PyRef method(find_item(scope_of(self), asgi_names().method));
    const PyRef route = route_of(scope_of(self));
    measured.machine.observe(now, utf8(method.get()), utf8(route.get()), self->status, duration);
  }

  // Empty for what is no text.
  static std::string_view utf8(PyObject* text) {
    Py_ssize_t size = 0;
    const char* start =
        text != nullptr && PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &size) : nullptr;
    PyErr_Clear();
    return start == nullptr ? std::string_view() : std::string_view(start, static_cast<std::size_t>(size));
  }
};

using PassType = CallType<PassDriver>;

}  // namespace

PyObject* make_request_pass(RequestGate* gate, PyObject* scope, PyObject* receive, PyObject* send) {
  PyObject* const args[] = {scope, receive, send};
  return PassType::make(nullptr, reinterpret_cast<PyObject*>(gate), args, 3, nullptr);
}

bool init_request_pass(PyObject* module) {
  names = {PyUnicode_InternFromString("find"), PyUnicode_InternFromString("_serve_closely"),
           PyUnicode_InternFromString("_answer"), PyUnicode_InternFromString("is_draining"),
           Py_BuildValue("(yy)", "connection", "close")};
  return PyErr_Occurred() == nullptr &&
         PassType::init(module, "RequestPass", "resilience._core.RequestPass",
                        "One request on its way: awaitable once, and the `send` of its application.");
}

}  // namespace resilience::bindings
