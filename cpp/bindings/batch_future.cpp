#include "batch_future.hpp"

#include <cstddef>
#include <new>
#include <utility>

#include "awaitable.hpp"
#include "batch_future_protocol.hpp"
#include "errors.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyTypeObject future_type;
FreeList<BatchFuture, 256> futures;

using State = BatchFuture::State;

BatchFuture* as_future(PyObject* self) { return reinterpret_cast<BatchFuture*>(self); }

// ---- awaiting

PySendResult future_send(PyObject* object, PyObject* /*value*/, PyObject** result) {
  BatchFuture* self = as_future(object);
  if (self->state != State::kPending) {
    *result = take_outcome(self);
    return *result == nullptr ? PYGEN_ERROR : PYGEN_RETURN;
  }
  *result = nullptr;
  if (self->blocking) {
    PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
    return PYGEN_ERROR;
  }
  self->blocking = true;
  *result = Py_NewRef(object);
  return PYGEN_NEXT;
}

// ---- life

int future_traverse(PyObject* object, visitproc visit, void* arg) {
  const BatchFuture* self = as_future(object);
  for (PyObject* held :
       {self->loop, self->payload, self->key, self->outcome, self->traceback, self->cancel_message,
        self->callback, self->context, self->more, self->followers, self->leader}) {
    Py_VISIT(held);
  }
  return 0;
}

int future_clear(PyObject* object) {
  BatchFuture* self = as_future(object);
  Py_CLEAR(self->payload);
  Py_CLEAR(self->key);
  Py_CLEAR(self->outcome);
  Py_CLEAR(self->traceback);
  Py_CLEAR(self->cancel_message);
  Py_CLEAR(self->callback);
  Py_CLEAR(self->context);
  Py_CLEAR(self->more);
  Py_CLEAR(self->followers);
  Py_CLEAR(self->leader);
  Py_CLEAR(self->loop);
  return 0;
}

// Reports an exception that nobody asked for, as asyncio does.
void future_finalize(PyObject* object) {
  BatchFuture* self = as_future(object);
  if (!self->log_traceback || self->loop == nullptr) {
    return;
  }
  self->log_traceback = false;
  const SavedError saved;
  const PyRef details(Py_BuildValue("{s:s,s:O,s:O}", "message", "BatchFuture exception was never retrieved",
                                    "exception", self->outcome, "future", object));
  if (!details || !PyRef(PyObject_CallMethod(self->loop, "call_exception_handler", "O", details.get()))) {
    PyErr_WriteUnraisable(object);
  }
}

void future_dealloc(PyObject* object) {
  BatchFuture* self = as_future(object);
  if (self->log_traceback && PyObject_CallFinalizerFromDealloc(object) < 0) {
    return;  // somebody holds it again
  }
  if (self->weakrefs != nullptr) {
    PyObject_ClearWeakRefs(object);
  }
  hold_while_clearing(object);
  future_clear(object);
  if (!still_unheld(object)) {
    return;
  }
  // What the collector has finalized it would never finalize again.
  if (PyObject_GC_IsFinalized(object) != 0 || !futures.give(self)) {
    PyObject_GC_UnTrack(object);
    PyObject_GC_Del(object);
  }
}

// As empty as those that wait for their next use.
BatchFuture* new_future() {
  auto* self = PyObject_GC_New(BatchFuture, &future_type);
  if (self != nullptr) {
    self->loop = self->payload = self->key = self->outcome = self->traceback = nullptr;
    self->cancel_message = self->callback = self->context = self->more = nullptr;
    self->followers = self->leader = self->weakrefs = nullptr;
    PyObject_GC_Track(as_object(self));
  }
  return self;
}

PyAsyncMethods async_methods = {PyObject_SelfIter, nullptr, nullptr, future_send};

}  // namespace

bool init_batch_future(PyObject* module) {
  future_type.tp_name = "resilience._core.BatchFuture";
  future_type.tp_doc = "The future result of a batched request; speaks the protocol of asyncio.Future.";
  future_type.tp_basicsize = sizeof(BatchFuture);
  future_type.tp_weaklistoffset = offsetof(BatchFuture, weakrefs);
  future_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  future_type.tp_as_async = &async_methods;
  future_type.tp_iter = PyObject_SelfIter;
  future_type.tp_iternext = iternext_by<future_send>;
  future_type.tp_traverse = future_traverse;
  future_type.tp_clear = future_clear;
  future_type.tp_finalize = future_finalize;
  future_type.tp_dealloc = future_dealloc;
  future_type.tp_repr = batch_future_repr;
  future_type.tp_methods = batch_future_methods;
  future_type.tp_getset = batch_future_properties;
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&future_type), 1);
  return init_batch_future_protocol() && PyType_Ready(&future_type) == 0 &&
         PyModule_AddObjectRef(module, "BatchFuture", reinterpret_cast<PyObject*>(&future_type)) == 0;
}

BatchFuture* make_batch_future(PyObject* loop, PyObject* payload) {
  BatchFuture* self = futures.take();
  if (self == nullptr && (self = new_future()) == nullptr) {
    return nullptr;
  }
  self->loop = Py_NewRef(loop);
  self->payload = Py_NewRef(payload);
  self->lane = nullptr;
  new (&self->item) BatchItem();
  self->state = State::kPending;
  self->blocking = false;
  self->log_traceback = false;
  return self;
}

BatchFuture* future_of(BatchItem* item) {
  return reinterpret_cast<BatchFuture*>(reinterpret_cast<char*>(item) - offsetof(BatchFuture, item));
}

bool is_awaited(const BatchFuture* future) {
  if (future->state == State::kPending) {
    return true;
  }
  for (Py_ssize_t i = 0; future->followers != nullptr && i < PyList_GET_SIZE(future->followers); ++i) {
    if (as_future(PyList_GET_ITEM(future->followers, i))->state == State::kPending) {
      return true;
    }
  }
  return false;
}

bool follow(BatchFuture* follower, BatchFuture* leader) {
  if (leader->followers == nullptr && (leader->followers = PyList_New(0)) == nullptr) {
    return false;
  }
  if (PyList_Append(leader->followers, as_object(follower)) < 0) {
    return false;
  }
  follower->leader = Py_NewRef(as_object(leader));
  Py_CLEAR(follower->payload);
  return true;
}

void settle_result(BatchFuture* future, PyObject* result, CallbackPass& pass) {
  if (future->state != State::kPending) {
    return;  // its caller has gone
  }
  future->state = State::kFinished;
  future->outcome = Py_NewRef(result);
  Py_CLEAR(future->leader);
  move_callbacks(future, pass);
}

void settle_error(BatchFuture* future, PyObject* error, CallbackPass& pass) {
  if (future->state != State::kPending) {
    return;
  }
  future->state = State::kFailed;
  future->outcome = Py_NewRef(error);
  future->traceback = PyException_GetTraceback(error);
  future->log_traceback = true;
  Py_CLEAR(future->leader);
  move_callbacks(future, pass);
}

void abandon(BatchFuture* future) {
  if (future->state == State::kPending) {
    future->state = State::kCancelled;
    CallbackPass unheard;  // their loop will never run again
    move_callbacks(future, unheard);
  }
  Py_CLEAR(future->leader);
}

}  // namespace resilience::bindings
