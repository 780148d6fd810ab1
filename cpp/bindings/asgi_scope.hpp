// What is read of an ASGI connection's scope, without running Python code for a server's plain dicts and
// lists.
//
// Needs the GIL.
#pragma once

#include <Python.h>

#include "py_ref.hpp"

namespace resilience::bindings {

// Names that messages and scopes are made of, interned where they are strings.
struct AsgiNames {
  PyObject* type;
  PyObject* http;
  PyObject* method;
  PyObject* path;
  PyObject* headers;
  PyObject* status;
  PyObject* response_start;
  PyObject* correlation_header;    // bytes
  PyObject* correlation_in_scope;  // where a scope keeps the id, for applications that are mounted
};
const AsgiNames& asgi_names();
// Gives the module what Python shares of them. False with an exception set.
bool init_asgi_scope(PyObject* module);

// The value of a key (new reference); null without an exception when there is none, with one when looking
// failed.
PyObject* find_item(PyObject* mapping, PyObject* key);
// The same; null is always an exception, KeyError when there is none.
PyObject* get_item(PyObject* mapping, PyObject* key);

// Whether a value is this string; the second is interned.
bool is_text(PyObject* value, PyObject* interned);

// What the pass of a request needs of its headers.
struct RequestHeaders {
  PyRef identity;  // bytes: the correlation id, made when the request has no good one
  bool has_body = false;
};
// False with an exception set for headers that are none.
bool read_headers(PyObject* headers, RequestHeaders& read);

// Where a response cache keeps the answer to a request: (scheme, host, path, query, subject), a new
// reference. None for a request whose headers have a say in what it is answered; null with an exception set.
PyObject* response_key(PyObject* scope, PyObject* subject);

// The template of the route that served a request: few series whatever the paths. Never fails, and keeps a
// pending exception.
PyRef route_of(PyObject* scope);

}  // namespace resilience::bindings
