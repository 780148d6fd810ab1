// A batch on its way: handed to the Python half, which asks it for its payloads, gives it results or errors,
// and ends it. All futures that one call settles wake their callers together.
#include <map>
#include <new>
#include <utility>

#include "batch_lane.hpp"
#include "errors.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

using Futures = std::vector<BatchFuture*>;

PyTypeObject batch_type;
PyObject* own_copy = nullptr;  // resilience._shared_errors.own_copy

struct Batch {
  PyObject_HEAD BatchLane* lane;
  Futures futures;  // owned references
  Nanos began;
  std::size_t size;  // when it began
  DispatchReason reason;
  bool ended;
};

Batch* as_batch(PyObject* self) { return reinterpret_cast<Batch*>(self); }
Clock& clock_of(const Batch* self) { return *self->lane->batcher->state.clock; }
Batcher& machine_of(const Batch* self) { return self->lane->batcher->state.machine; }

// Calls visit(future) for a future and those that share its item.
template <typename Visit>
void for_each_caller(BatchFuture* future, Visit visit) {
  const PyRef followers(std::exchange(future->followers, nullptr));
  visit(future);
  for (Py_ssize_t i = 0; followers && i < PyList_GET_SIZE(followers.get()); ++i) {
    visit(reinterpret_cast<BatchFuture*>(PyList_GET_ITEM(followers.get(), i)));
  }
}

// Gives each failed caller an exception of its own: the first the original, the others copies.
class ErrorDealer {
 public:
  explicit ErrorDealer(PyRef error) : error_(std::move(error)) {}

  void fail(BatchFuture* future, CallbackPass& pass) {
    if (future->state != BatchFuture::State::kPending) {
      return;
    }
    if (!std::exchange(dealt_, true)) {
      settle_error(future, error_.get(), pass);
      return;
    }
    PyRef copy(PyObject_CallOneArg(own_copy, error_.get()));
    if (!copy) {
      PyErr_WriteUnraisable(error_.get());
      copy = PyRef::share(error_.get());
    }
    settle_error(future, copy.get(), pass);
  }

 private:
  PyRef error_;
  bool dealt_ = false;
};

void settle_group_result(BatchFuture* future, PyObject* result, CallbackPass& pass) {
  if (future->followers == nullptr) [[likely]] {
    settle_result(future, result, pass);
    return;
  }
  for_each_caller(future, [&](BatchFuture* each) { settle_result(each, result, pass); });
}

void schedule(const Batch* self, CallbackPass& pass) {
  if (!self->futures.empty()) {
    pass.schedule(self->futures.front()->loop);
  }
}

PyObject* batch_start(PyObject* object, PyObject* /*unused*/) {
  Batch* self = as_batch(object);
  self->began = clock_of(self).now();
  std::size_t left = 0;
  for (BatchFuture*& future : self->futures) {  // callers may have gone since the dispatch
    BatchFuture* each = std::exchange(future, nullptr);
    if (is_awaited(each)) {
      self->futures[left++] = each;
      machine_of(self).went(each->item, self->began);
    } else {
      machine_of(self).left();
      Py_DECREF(as_object(each));
    }
  }
  self->futures.resize(left);
  self->size = left;
  if (left > 0) {
    machine_of(self).batch_began(self->reason);
  }
  PyRef payloads(PyList_New(static_cast<Py_ssize_t>(left)));
  for (std::size_t i = 0; payloads && i < left; ++i) {
    PyList_SET_ITEM(payloads.get(), static_cast<Py_ssize_t>(i),
                    std::exchange(self->futures[i]->payload, nullptr));
  }
  return payloads.release();
}

// What an exception in an item's place means to its caller: itself, unless raising it would be taken for a
// cancellation, the end of an iteration or the end of the program.
PyRef error_of_item(PyObject* given) {
  if (PyErr_GivenExceptionMatches(given, PyExc_Exception) != 0 &&
      PyErr_GivenExceptionMatches(given, PyExc_StopIteration) == 0) {
    return PyRef::share(given);
  }
  PyRef error(PyObject_CallFunction(
      errors().batch_error, "N", PyUnicode_FromFormat("the batch function returned %R for an item", given)));
  if (error) {
    PyException_SetCause(error.get(), Py_NewRef(given));
  }
  return error;
}

// Settles futures from `begin` on with a result each; an exception among the results fails its item alone.
PyObject* batch_resolve(PyObject* object, PyObject* args) {
  Batch* self = as_batch(object);
  PyObject* results = nullptr;
  Py_ssize_t begin = 0;
  if (PyArg_ParseTuple(args, "O!|n", &PyList_Type, &results, &begin) == 0) {
    return nullptr;
  }
  if (begin < 0 || begin + PyList_GET_SIZE(results) > static_cast<Py_ssize_t>(self->futures.size())) {
    PyErr_SetString(PyExc_IndexError, "more results than items");
    return nullptr;
  }
  CallbackPass pass;
  std::map<PyObject*, ErrorDealer> dealers;  // an exception may stand in several places
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(results); ++i) {
    BatchFuture* future = self->futures[static_cast<std::size_t>(begin + i)];
    PyObject* result = PyList_GET_ITEM(results, i);
    if (PyExceptionInstance_Check(result)) [[unlikely]] {
      auto dealer = dealers.find(result);
      if (dealer == dealers.end()) {
        PyRef error = error_of_item(result);
        if (!error) {
          return nullptr;
        }
        dealer = dealers.emplace(result, ErrorDealer(std::move(error))).first;
      }
      for_each_caller(future, [&](BatchFuture* each) { dealer->second.fail(each, pass); });
    } else {
      settle_group_result(future, result, pass);
    }
  }
  schedule(self, pass);
  Py_RETURN_NONE;
}

PyObject* batch_fail(PyObject* object, PyObject* args) {
  Batch* self = as_batch(object);
  PyObject* error = nullptr;
  Py_ssize_t begin = 0;
  auto end = static_cast<Py_ssize_t>(self->futures.size());
  if (PyArg_ParseTuple(args, "O|nn", &error, &begin, &end) == 0) {
    return nullptr;
  }
  if (!PyExceptionInstance_Check(error) || begin < 0 || std::cmp_greater(end, self->futures.size())) {
    PyErr_SetString(PyExc_TypeError, "fail() takes an exception and a range of items");
    return nullptr;
  }
  CallbackPass pass;
  ErrorDealer dealer(PyRef::share(error));
  for (Py_ssize_t i = begin; i < end; ++i) {
    for_each_caller(self->futures[static_cast<std::size_t>(i)],
                    [&](BatchFuture* each) { dealer.fail(each, pass); });
  }
  schedule(self, pass);
  Py_RETURN_NONE;
}

PyObject* batch_end(PyObject* object, PyObject* succeeded) {
  Batch* self = as_batch(object);
  if (std::exchange(self->ended, true)) {
    Py_RETURN_NONE;
  }
  BatchLane* lane = self->lane;
  if (lane->loop != nullptr) {  // else the lane gave the slot back when its loop closed
    --lane->in_flight;
    if (self->size == 0) {
      machine_of(self).batch_dropped();
    } else {
      machine_of(self).batch_ended(self->size, clock_of(self).now() - self->began, succeeded == Py_True);
    }
  }
  const Futures futures = std::exchange(self->futures, {});
  for (BatchFuture* future : futures) {
    Py_DECREF(as_object(future));
  }
  lane_poll(lane);
  for (BatchLane* other : lane->batcher->state.lanes) {
    if (other != lane && other->queue.size() > 0) {
      lane_wake(other);  // the slot may be theirs
    }
  }
  Py_RETURN_NONE;
}

Py_ssize_t batch_length(PyObject* self) { return static_cast<Py_ssize_t>(as_batch(self)->futures.size()); }

int batch_traverse(PyObject* object, visitproc visit, void* arg) {
  const Batch* self = as_batch(object);
  Py_VISIT(reinterpret_cast<PyObject*>(self->lane));
  for (BatchFuture* future : self->futures) {
    Py_VISIT(as_object(future));
  }
  return 0;
}

int batch_clear(PyObject* object) {
  const Futures futures = std::exchange(as_batch(object)->futures, {});
  for (BatchFuture* future : futures) {
    Py_DECREF(as_object(future));
  }
  return 0;
}

// A batch that nobody ended, because its task was lost, still gives its slot back.
void batch_finalize(PyObject* object) {
  Batch* self = as_batch(object);
  if (!self->ended) {
    const SavedError saved;
    for (BatchFuture* future : self->futures) {
      for_each_caller(future, abandon);
    }
    const PyRef ended(batch_end(object, Py_False));
  }
}

void batch_dealloc(PyObject* object) {
  if (!as_batch(object)->ended && PyObject_CallFinalizerFromDealloc(object) < 0) {
    return;
  }
  PyObject_GC_UnTrack(object);
  batch_clear(object);
  Batch* self = as_batch(object);
  auto* lane = reinterpret_cast<PyObject*>(self->lane);
  self->futures.~Futures();
  PyObject_GC_Del(object);
  Py_DECREF(lane);
}

PyMethodDef methods[] = {
    {"start", batch_start, METH_NOARGS, "The payloads of those that still wait; from now on it counts."},
    {"resolve", batch_resolve, METH_VARARGS, "resolve(results, begin=0): settle items with a result each."},
    {"fail", batch_fail, METH_VARARGS, "fail(error, begin=0, end=len): each item with its own exception."},
    {"end", batch_end, METH_O, "end(succeeded): free the slot."},
    {nullptr}};

PySequenceMethods as_sequence = {batch_length};

}  // namespace

bool init_batch(PyObject* module) {
  batch_type.tp_name = "resilience._core.Batch";
  batch_type.tp_doc = "Items on their way through a batch function.";
  batch_type.tp_basicsize = sizeof(Batch);
  batch_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  batch_type.tp_as_sequence = &as_sequence;
  batch_type.tp_traverse = batch_traverse;
  batch_type.tp_clear = batch_clear;
  batch_type.tp_finalize = batch_finalize;
  batch_type.tp_dealloc = batch_dealloc;
  batch_type.tp_methods = methods;
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&batch_type), 1);
  const PyRef shared(PyImport_ImportModule("resilience._shared_errors"));
  own_copy = shared ? PyObject_GetAttrString(shared.get(), "own_copy") : nullptr;
  return own_copy != nullptr && PyType_Ready(&batch_type) == 0 &&
         PyModule_AddObjectRef(module, "Batch", reinterpret_cast<PyObject*>(&batch_type)) == 0;
}

PyObject* make_batch(BatchLane* lane, std::vector<BatchItem*>& items, DispatchReason reason) {
  auto* self = PyObject_GC_New(Batch, &batch_type);
  if (self == nullptr) {
    return nullptr;
  }
  self->lane = reinterpret_cast<BatchLane*>(Py_NewRef(reinterpret_cast<PyObject*>(lane)));
  new (&self->futures) Futures();
  self->futures.reserve(items.size());
  for (BatchItem* item : items) {
    self->futures.push_back(future_of(item));
  }
  self->began = 0;
  self->size = 0;
  self->reason = reason;
  self->ended = false;
  auto* object = reinterpret_cast<PyObject*>(self);
  PyObject_GC_Track(object);
  return object;
}

void settle_group_error(BatchFuture* future, PyObject* error, CallbackPass& pass) {
  ErrorDealer dealer(PyRef::share(error));
  for_each_caller(future, [&](BatchFuture* each) { dealer.fail(each, pass); });
}

}  // namespace resilience::bindings
