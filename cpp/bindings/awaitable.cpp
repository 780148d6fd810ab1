#include "awaitable.hpp"

namespace resilience::bindings {

namespace {

// Lives as long as the process: a static type, so instances need no reference to it.
PyTypeObject stop_type;
FreeList<PyStopIterationObject, 32> stops;
PyObject* no_arguments = nullptr;

void clear_payload(PyStopIterationObject* stop) {
  Py_CLEAR(stop->value);
  Py_CLEAR(stop->dict);
  Py_CLEAR(stop->notes);
  Py_CLEAR(stop->traceback);
  Py_CLEAR(stop->context);
  Py_CLEAR(stop->cause);
}

void stop_dealloc(PyObject* self) {
  auto* stop = reinterpret_cast<PyStopIterationObject*>(self);
  hold_while_clearing(self);
  clear_payload(stop);
  if (still_unheld(self) && !stops.give(stop)) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(stop->args);
    PyObject_GC_Del(self);
  }
}

// `args` stays: CPython reads it unchecked.
int stop_clear(PyObject* self) {
  clear_payload(reinterpret_cast<PyStopIterationObject*>(self));
  return 0;
}

PyObject* make_stop(PyObject* value) {
  PyStopIterationObject* stop = stops.take();
  if (stop == nullptr) {
    stop = PyObject_GC_New(PyStopIterationObject, &stop_type);
    if (stop == nullptr) {
      Py_DECREF(value);
      return nullptr;
    }
    stop->dict = nullptr;
    stop->notes = nullptr;
    stop->traceback = nullptr;
    stop->context = nullptr;
    stop->cause = nullptr;
    stop->value = nullptr;
    stop->args = Py_NewRef(no_arguments);
    PyObject_GC_Track(reinterpret_cast<PyObject*>(stop));
  }
  stop->suppress_context = 0;
  stop->value = value;
  return reinterpret_cast<PyObject*>(stop);
}

}  // namespace

bool init_awaitables(PyObject* module) {
  auto* base = reinterpret_cast<PyTypeObject*>(PyExc_StopIteration);
  no_arguments = PyTuple_New(0);
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&stop_type), 1);
  stop_type.tp_name = "resilience._core.AwaitResult";
  stop_type.tp_doc = "The end of an awaitable, carrying its result; a StopIteration.";
  stop_type.tp_base = base;
  stop_type.tp_basicsize = sizeof(PyStopIterationObject);
  stop_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASE_EXC_SUBCLASS;
  stop_type.tp_traverse = base->tp_traverse;
  stop_type.tp_clear = stop_clear;
  stop_type.tp_dealloc = stop_dealloc;
  if (no_arguments == nullptr || PyType_Ready(&stop_type) < 0) {
    return false;
  }
  return PyModule_AddObjectRef(module, "AwaitResult", reinterpret_cast<PyObject*>(&stop_type)) == 0;
}

PyObject* finish_iteration(PyObject* result) {
  if (result == Py_None) {  // the iterator protocol: no exception means None
    Py_DECREF(result);
    return nullptr;
  }
  PyObject* stop = make_stop(result);
  if (stop == nullptr) {
    return nullptr;
  }
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(stop);
#else
  PyErr_Restore(Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(stop))), stop, nullptr);
#endif
  return nullptr;
}

bool is_iterable_coroutine(PyObject* object) {
  if (!PyGen_CheckExact(object)) {
    return false;
  }
  auto* code = reinterpret_cast<PyCodeObject*>(PyObject_GetAttrString(object, "gi_code"));
  const bool awaits = code != nullptr && (code->co_flags & CO_ITERABLE_COROUTINE) != 0;
  Py_XDECREF(code);
  return awaits;
}

PyObject* await_iterator(PyObject* awaitable) {
  if (PyCoro_CheckExact(awaitable)) {
    return Py_NewRef(awaitable);
  }
  const PyAsyncMethods* methods = Py_TYPE(awaitable)->tp_as_async;
  if (methods != nullptr && methods->am_await != nullptr) {
    PyObject* iterator = methods->am_await(awaitable);
    if (iterator != nullptr && !PyIter_Check(iterator)) {
      PyErr_Format(PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'",
                   Py_TYPE(iterator)->tp_name);
      Py_CLEAR(iterator);
    }
    return iterator;
  }
  if (is_iterable_coroutine(awaitable)) {
    return Py_NewRef(awaitable);
  }
  PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
               Py_TYPE(awaitable)->tp_name);
  return nullptr;
}

namespace {

// A method call ended a step: take the result out of the StopIteration, if that is what it was.
PySendResult end_of_step(PyObject* yielded, PyObject** result) {
  if (yielded != nullptr) {
    *result = yielded;
    return PYGEN_NEXT;
  }
  *result = nullptr;
  if (PyErr_Occurred() == nullptr) {
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
  }
  if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
    return PYGEN_ERROR;
  }
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value != nullptr) {
    *result = Py_XNewRef(reinterpret_cast<PyStopIterationObject*>(value)->value);
  }
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(traceback);
  return *result == nullptr ? PYGEN_ERROR : PYGEN_RETURN;
}

// Raises what throw(type[, value[, traceback]]) describes, as a generator without a throw() below it would.
void raise_thrown(PyObject* const* args, Py_ssize_t nargs) {
  PyObject* value = nargs > 1 && args[1] != Py_None ? args[1] : nullptr;
  PyObject* traceback = nargs > 2 && args[2] != Py_None ? args[2] : nullptr;
  if (PyExceptionInstance_Check(args[0])) {
    if (value != nullptr) {
      PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
      return;
    }
    PyObject* given = traceback == nullptr ? PyException_GetTraceback(args[0]) : Py_NewRef(traceback);
    PyErr_Restore(Py_NewRef(PyExceptionInstance_Class(args[0])), Py_NewRef(args[0]), given);
    return;
  }
  if (PyExceptionClass_Check(args[0])) {
    PyObject* type = Py_NewRef(args[0]);
    PyObject* instance = Py_XNewRef(value);
    PyObject* given = Py_XNewRef(traceback);
    PyErr_NormalizeException(&type, &instance, &given);
    PyErr_Restore(type, instance, given);
    return;
  }
  PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
               Py_TYPE(args[0])->tp_name);
}

}  // namespace

PySendResult throw_into(PyObject* iterator, PyObject* const* args, Py_ssize_t nargs, PyObject** result) {
  *result = nullptr;
  if (iterator != nullptr) {
    PyObject* method = nullptr;
    method = PyObject_GetAttrString(iterator, "throw");
    if (method != nullptr) {
      PyObject* yielded = PyObject_Vectorcall(method, args, static_cast<std::size_t>(nargs), nullptr);
      Py_DECREF(method);
      return end_of_step(yielded, result);
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
      return PYGEN_ERROR;
    }
    PyErr_Clear();
  }
  raise_thrown(args, nargs);
  return PYGEN_ERROR;
}

bool close_iterator(PyObject* iterator) {
  PyObject* method = PyObject_GetAttrString(iterator, "close");
  if (method == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
      return false;
    }
    PyErr_Clear();
    return true;
  }
  PyObject* closed = PyObject_CallNoArgs(method);
  Py_DECREF(method);
  Py_XDECREF(closed);
  return closed != nullptr;
}

PyObject* as_method_result(PySendResult outcome, PyObject* result) {
  switch (outcome) {
    case PYGEN_NEXT:
      return result;
    case PYGEN_ERROR:
      return nullptr;
    case PYGEN_RETURN:
      break;
  }
  if (result == Py_None) {
    PyErr_SetNone(PyExc_StopIteration);
    Py_DECREF(result);
    return nullptr;
  }
  return finish_iteration(result);
}

}  // namespace resilience::bindings
