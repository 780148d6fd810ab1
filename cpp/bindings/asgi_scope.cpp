#include "asgi_scope.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "resilience/correlation_id.hpp"
#include "resilience/request_metrics.hpp"

namespace resilience::bindings {

namespace {

constexpr std::string_view kIdentity = "x-correlation-id";
constexpr std::string_view kLength = "content-length";
constexpr std::string_view kEncoding = "transfer-encoding";
constexpr std::string_view kHost = "host";
constexpr std::array<std::string_view, 3> kConditions{"cache-control", "range", "if-none-match"};
constexpr const char* kPair = "a header must be a pair of bytes";

AsgiNames names;
PyObject* fastapi_name = nullptr;
PyObject* context_name = nullptr;
PyObject* route_name = nullptr;
PyObject* scheme_name = nullptr;
PyObject* query_name = nullptr;
PyObject* unmatched = nullptr;

std::string_view text_of(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

PyObject* new_identity() {
  static CorrelationIds ids;
  const CorrelationIds::Id id = ids.next();
  return PyBytes_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size()));
}

// Calls visit(name, value) for each header whose name is bytes, until it says false: it has seen enough.
// False with an exception set for headers that are none.
template <typename Visit>
bool each_header(PyObject* headers, Visit&& visit) {
  const PyRef all(PySequence_Fast(headers, "a scope's headers must be pairs of bytes"));
  if (!all) {
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(all.get()); ++i) {
    const PyRef pair(PySequence_Fast(PySequence_Fast_GET_ITEM(all.get(), i), kPair));  // a tuple, or a list
    if (!pair) {
      return false;
    }
    if (PySequence_Fast_GET_SIZE(pair.get()) != 2) {
      PyErr_SetString(PyExc_ValueError, kPair);
      return false;
    }
    PyObject* name = PySequence_Fast_GET_ITEM(pair.get(), 0);
    if (PyBytes_Check(name) && !visit(text_of(name), PySequence_Fast_GET_ITEM(pair.get(), 1))) {
      break;
    }
  }
  return true;
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

bool init_asgi_scope(PyObject* module) {
  names = {PyUnicode_InternFromString("type"),
           PyUnicode_InternFromString("http"),
           PyUnicode_InternFromString("method"),
           PyUnicode_InternFromString("path"),
           PyUnicode_InternFromString("headers"),
           PyUnicode_InternFromString("status"),
           PyUnicode_InternFromString("http.response.start"),
           PyBytes_FromStringAndSize(kIdentity.data(), static_cast<Py_ssize_t>(kIdentity.size())),
           PyUnicode_InternFromString("resilience.correlation_id")};
  fastapi_name = PyUnicode_InternFromString("fastapi");
  context_name = PyUnicode_InternFromString("effective_route_context");
  route_name = PyUnicode_InternFromString("route");
  scheme_name = PyUnicode_InternFromString("scheme");
  query_name = PyUnicode_InternFromString("query_string");
  unmatched = PyUnicode_FromStringAndSize(RequestMetrics::kUnmatched.data(),
                                          static_cast<Py_ssize_t>(RequestMetrics::kUnmatched.size()));
  return PyErr_Occurred() == nullptr &&
         PyModule_AddObjectRef(module, "CORRELATION_HEADER", names.correlation_header) == 0 &&
         PyModule_AddObjectRef(module, "CORRELATION_IN_SCOPE", names.correlation_in_scope) == 0;
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
  const bool good = each_header(headers, [&read](std::string_view name, PyObject* value) {
    if (name == kLength || name == kEncoding) {
      read.has_body = true;
    } else if (name == kIdentity && !read.identity && PyBytes_Check(value) &&
               is_correlation_id(text_of(value))) {
      read.identity = PyRef::share(value);
    }
    return true;
  });
  if (good && !read.identity) {
    read.identity = PyRef(new_identity());
  }
  return good && read.identity;
}

PyObject* response_key(PyObject* scope, PyObject* subject_of) {
  const PyRef headers(get_item(scope, names.headers));
  PyRef host;
  bool plain = true;
  if (!headers || !each_header(headers.get(), [&](std::string_view name, PyObject* value) {
        if (name == kHost) {
          plain = !host;
          host = PyRef::share(value);
        } else {
          plain = std::ranges::find(kConditions, name) == kConditions.end();
        }
        return plain;
      })) {
    return nullptr;
  }
  if (!plain) {
    Py_RETURN_NONE;
  }
  const PyRef scheme(get_item(scope, scheme_name));
  const PyRef path(scheme ? get_item(scope, names.path) : nullptr);
  const PyRef query(path ? get_item(scope, query_name) : nullptr);
  const PyRef subject(!query                  ? nullptr
                      : subject_of == Py_None ? Py_NewRef(Py_None)
                                              : PyObject_CallOneArg(subject_of, scope));
  return subject ? PyTuple_Pack(5, scheme.get(), host ? host.get() : Py_None, path.get(), query.get(),
                                subject.get())
                 : nullptr;
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
