#include "asgi_scope.hpp"

#include <string_view>

#include "resilience/correlation_id.hpp"
#include "resilience/request_metrics.hpp"

namespace resilience::bindings {

namespace {

constexpr std::string_view kIdentity = "x-correlation-id";
constexpr std::string_view kLength = "content-length";
constexpr std::string_view kEncoding = "transfer-encoding";

AsgiNames names;
PyObject* fastapi_name = nullptr;
PyObject* context_name = nullptr;
PyObject* route_name = nullptr;
PyObject* unmatched = nullptr;

std::string_view text_of(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

PyObject* new_identity() {
  static CorrelationIds ids;
  const CorrelationIds::Id id = ids.next();
  return PyBytes_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size()));
}

bool read_header(PyObject* name, PyObject* value, RequestHeaders& read) {
  if (!PyBytes_Check(name)) {
    return true;
  }
  const std::string_view text = text_of(name);
  if (text == kIdentity) {
    if (!read.identity && PyBytes_Check(value) && is_correlation_id(text_of(value))) {
      read.identity = PyRef::share(value);
    }
  } else if (text == kLength || text == kEncoding) {
    read.has_body = true;
  }
  return true;
}

// A header is a pair, which servers give as tuple or list.
bool read_pair(PyObject* header, RequestHeaders& read) {
  const PyRef pair(PySequence_Fast(header, "a header must be a pair of bytes"));
  if (!pair) {
    return false;
  }
  if (PySequence_Fast_GET_SIZE(pair.get()) != 2) {
    PyErr_SetString(PyExc_ValueError, "a header must be a pair of bytes");
    return false;
  }
  return read_header(PySequence_Fast_GET_ITEM(pair.get(), 0), PySequence_Fast_GET_ITEM(pair.get(), 1), read);
}

// `mapping[key]` of the framework's own notes: null for anything else.
PyRef noted(PyObject* mapping, PyObject* key) {
  PyRef value(mapping == nullptr ? nullptr : find_item(mapping, key));
  if (!value) {
    PyErr_Clear();
  }
  return value.get() == Py_None ? PyRef() : std::move(value);
}

}  // namespace

const AsgiNames& asgi_names() { return names; }

bool init_asgi_scope() {
  names = {PyUnicode_InternFromString("type"),
           PyUnicode_InternFromString("http"),
           PyUnicode_InternFromString("method"),
           PyUnicode_InternFromString("path"),
           PyUnicode_InternFromString("headers"),
           PyUnicode_InternFromString("status"),
           PyUnicode_InternFromString("http.response.start")};
  fastapi_name = PyUnicode_InternFromString("fastapi");
  context_name = PyUnicode_InternFromString("effective_route_context");
  route_name = PyUnicode_InternFromString("route");
  unmatched = PyUnicode_FromStringAndSize(RequestMetrics::kUnmatched.data(),
                                          static_cast<Py_ssize_t>(RequestMetrics::kUnmatched.size()));
  return PyErr_Occurred() == nullptr;
}

PyObject* find_item(PyObject* mapping, PyObject* key) {
  if (PyDict_Check(mapping)) [[likely]] {
    return Py_XNewRef(PyDict_GetItemWithError(mapping, key));
  }
  PyObject* value = PyObject_GetItem(mapping, key);
  if (value == nullptr && PyErr_ExceptionMatches(PyExc_KeyError) != 0) {
    PyErr_Clear();
  }
  return value;
}

PyObject* get_item(PyObject* mapping, PyObject* key) {
  PyObject* value = find_item(mapping, key);
  if (value == nullptr && PyErr_Occurred() == nullptr) {
    PyErr_SetObject(PyExc_KeyError, key);
  }
  return value;
}

bool is_text(PyObject* value, PyObject* interned) {
  return value == interned || (PyUnicode_Check(value) && PyUnicode_Compare(value, interned) == 0);
}

bool read_headers(PyObject* headers, RequestHeaders& read) {
  const PyRef all(PySequence_Fast(headers, "a scope's headers must be pairs of bytes"));
  if (!all) {
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(all.get()); ++i) {
    if (!read_pair(PySequence_Fast_GET_ITEM(all.get(), i), read)) {
      return false;
    }
  }
  if (!read.identity) {
    read.identity = PyRef(new_identity());
  }
  return static_cast<bool>(read.identity);
}

PyRef route_of(PyObject* scope) {
  const SavedError pending;
  // FastAPI's own note has the prefix under which a router was included; a route knows only its router's
  PyRef route = noted(noted(scope, fastapi_name).get(), context_name);
  if (!route) {
    route = noted(scope, route_name);
  }
  PyRef path(route ? PyObject_GetAttr(route.get(), asgi_names().path) : nullptr);
  PyErr_Clear();
  return path && PyUnicode_Check(path.get()) ? std::move(path) : PyRef::share(unmatched);
}

}  // namespace resilience::bindings
