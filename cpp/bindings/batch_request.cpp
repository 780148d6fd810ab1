// add_request(): an item as its caller gives it.
#include <algorithm>
#include <array>

#include "awaitable.hpp"
#include "batch_lane.hpp"
#include "batcher_type.hpp"
#include "errors.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

struct Request {
  PyObject* id = nullptr;
  PyObject* payload = nullptr;
  PyObject* priority = nullptr;
  PyObject* timeout = nullptr;
};

bool read_request(Request& request, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  static constexpr std::array<const char*, 4> names{"request_id", "payload", "priority", "timeout"};
  std::array<PyObject**, 4> places{&request.id, &request.payload, &request.priority, &request.timeout};
  if (nargs > 2) {
    PyErr_Format(PyExc_TypeError, "add_request() takes 2 positional arguments but %zd were given", nargs);
    return false;
  }
  for (Py_ssize_t i = 0; i < nargs; ++i) {
    *places[static_cast<std::size_t>(i)] = args[i];
  }
  for (Py_ssize_t i = 0; kwnames != nullptr && i < PyTuple_GET_SIZE(kwnames); ++i) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, i);
    const auto* const found = std::ranges::find_if(
        names, [name](const char* each) { return PyUnicode_CompareWithASCIIString(name, each) == 0; });
    if (found == names.end() || *places[static_cast<std::size_t>(found - names.begin())] != nullptr) {
      PyErr_Format(PyExc_TypeError, "add_request() got an unexpected keyword argument or one twice: %R",
                   name);
      return false;
    }
    *places[static_cast<std::size_t>(found - names.begin())] = args[nargs + i];
  }
  if (request.id == nullptr || request.payload == nullptr) {
    PyErr_SetString(PyExc_TypeError, "add_request() needs a request_id and a payload");
    return false;
  }
  return true;
}

constexpr long kMostPriority = 1'000'000;

bool read_priority(PyObject* given, BatchItem& item) {
  const long priority = PyLong_AsLong(given);
  if (priority == -1 && PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
      PyErr_Format(PyExc_TypeError, "priority must be an integer, got %R", given);
    }
    if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) {
      return false;
    }
    PyErr_Clear();
  } else if (priority >= -kMostPriority && priority <= kMostPriority) {
    item.priority = static_cast<std::int32_t>(priority);
    return true;
  }
  PyErr_Format(PyExc_ValueError, "priority must be an integer in [-1000000, 1000000], got %R", given);
  return false;
}

// What `with priority(n)` around the caller says, as far as the queue tells priorities apart.
bool take_priority_around(PyObject* variable, BatchItem& item) {
  PyObject* value = nullptr;
  if (variable == nullptr) {
    return true;  // __init__ has not run
  }
  if (PyContextVar_Get(variable, nullptr, &value) < 0) {
    return false;
  }
  const PyRef around(value);
  int overflow = 0;
  const long priority = PyLong_AsLongAndOverflow(value, &overflow);
  item.priority = static_cast<std::int32_t>(
      overflow != 0 ? overflow * kMostPriority : std::clamp(priority, -kMostPriority, kMostPriority));
  return true;
}

bool read_timeout(PyObject* given, BatchItem& item) {
  const double seconds = PyFloat_AsDouble(given);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
      PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, got %R", given);
    } else if (PyErr_ExceptionMatches(PyExc_OverflowError) != 0) {
      PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds that a float can hold");
    }
    return false;
  }
  if (!(seconds >= 0.0)) {
    PyErr_Format(PyExc_ValueError, "timeout must be a number of seconds >= 0 or None, got %R", given);
    return false;
  }
  item.deadline = saturating_add(item.arrived, nanos_from_seconds(seconds));
  return true;
}

bool weigh(PyObject* weigher, PyObject* payload, BatchItem& item) {
  const PyRef weight(PyObject_CallOneArg(weigher, payload));
  if (!weight) {
    return false;
  }
  item.weight = PyFloat_AsDouble(weight.get());
  if (item.weight == -1.0 && PyErr_Occurred() != nullptr) {
    return false;
  }
  if (!(item.weight >= 0.0)) {
    PyErr_Format(PyExc_ValueError, "weigher must return a number >= 0, got %R", weight.get());
    return false;
  }
  return true;
}

// What can only fail by the caller's own code: the weigher, an id's __hash__ or __eq__.
bool enqueue(BatcherObject* self, const Request& request, BatchFuture* future) {
  if (self->weigher != nullptr && !weigh(self->weigher, request.payload, future->item)) {
    return false;
  }
  if (self->state.dedupe) {
    future->key = Py_NewRef(request.id);
  }
  BatchLane* lane = lane_on(self, future->loop);
  return lane != nullptr && lane_accept(lane, future);
}

}  // namespace

PyObject* add_request(PyObject* object, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  BatcherObject* self = as_batcher(object);
  Request request;
  if (!read_request(request, args, nargs, kwnames)) {
    return nullptr;
  }
  const PyRef loop(loop_here());
  if (!loop) {
    return nullptr;
  }
  BatchFuture* future = make_batch_future(loop.get(), request.payload);
  PyRef owned(reinterpret_cast<PyObject*>(future));
  if (!owned) {
    return nullptr;
  }
  future->item.arrived = self->state.clock->now();
  if (!(request.priority == nullptr ? take_priority_around(self->priority, future->item)
                                    : read_priority(request.priority, future->item)) ||
      (request.timeout != nullptr && request.timeout != Py_None &&
       !read_timeout(request.timeout, future->item))) {
    return nullptr;
  }
  if (!enqueue(self, request, future)) {
    const PyRef error(take_error());
    CallbackPass none;
    settle_error(future, error.get(), none);
  }
  return owned.release();
}

}  // namespace resilience::bindings
