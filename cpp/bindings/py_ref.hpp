// An owned reference to a Python object, and a pending exception put aside, for code that speaks the C API.
// Needs the GIL.
#pragma once

#include <Python.h>

#include <utility>

namespace resilience::bindings {

class PyRef {
 public:
  PyRef() noexcept = default;
  explicit PyRef(PyObject* owned) noexcept : object_(owned) {}
  static PyRef share(PyObject* borrowed) noexcept { return PyRef(Py_XNewRef(borrowed)); }
  PyRef(PyRef&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  PyRef& operator=(PyRef&& other) noexcept {
    PyObject* old = std::exchange(object_, std::exchange(other.object_, nullptr));
    Py_XDECREF(old);
    return *this;
  }
  PyRef(const PyRef&) = delete;
  PyRef& operator=(const PyRef&) = delete;
  ~PyRef() { Py_XDECREF(object_); }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }

 private:
  PyObject* object_ = nullptr;
};

// Takes the pending exception, if any, and puts it back at the end of the scope: around code that may run
// while one is on its way. What is pending by then is lost.
class SavedError {
 public:
#if PY_VERSION_HEX >= 0x030c0000
  SavedError() noexcept : error_(PyErr_GetRaisedException()) {}
  ~SavedError() { PyErr_SetRaisedException(error_); }
#else
  SavedError() noexcept { PyErr_Fetch(&type_, &error_, &traceback_); }
  ~SavedError() { PyErr_Restore(type_, error_, traceback_); }
#endif
  SavedError(const SavedError&) = delete;
  SavedError& operator=(const SavedError&) = delete;

 private:
#if PY_VERSION_HEX < 0x030c0000
  PyObject* type_ = nullptr;
  PyObject* traceback_ = nullptr;
#endif
  PyObject* error_ = nullptr;
};

}  // namespace resilience::bindings
