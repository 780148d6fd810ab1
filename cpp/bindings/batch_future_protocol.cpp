#include "batch_future_protocol.hpp"

#include <array>
#include <utility>

#include "batch_lane.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyObject* cancelled_error = nullptr;      // asyncio.CancelledError
PyObject* invalid_state_error = nullptr;  // asyncio.InvalidStateError
PyObject* call_soon_name = nullptr;
PyObject* context_names = nullptr;
PyObject* repr_info = nullptr;  // asyncio.base_futures._future_repr_info

using State = BatchFuture::State;

BatchFuture* as_future(PyObject* self) { return reinterpret_cast<BatchFuture*>(self); }

PyObject* make_cancelled_error(BatchFuture* self) {
  return self->cancel_message == nullptr || self->cancel_message == Py_None
             ? PyObject_CallNoArgs(cancelled_error)
             : PyObject_CallOneArg(cancelled_error, self->cancel_message);
}

void raise_cancelled(BatchFuture* self) {
  const PyRef error(make_cancelled_error(self));
  if (error) {
    PyErr_SetObject(cancelled_error, error.get());
  }
}

PyObject* future_result(PyObject* object, PyObject* /*unused*/) {
  BatchFuture* self = as_future(object);
  if (self->state == State::kPending) {
    PyErr_SetString(invalid_state_error, "Result is not ready.");
    return nullptr;
  }
  return take_outcome(self);
}

PyObject* future_exception(PyObject* object, PyObject* /*unused*/) {
  BatchFuture* self = as_future(object);
  switch (self->state) {
    case State::kPending:
      PyErr_SetString(invalid_state_error, "Exception is not set.");
      return nullptr;
    case State::kFinished:
      Py_RETURN_NONE;
    case State::kFailed:
      self->log_traceback = false;
      return Py_NewRef(self->outcome);
    case State::kCancelled:
      break;
  }
  raise_cancelled(self);
  return nullptr;
}

PyObject* future_done(PyObject* self, PyObject* /*unused*/) {
  return PyBool_FromLong(as_future(self)->state != State::kPending ? 1 : 0);
}

PyObject* future_cancelled(PyObject* self, PyObject* /*unused*/) {
  return PyBool_FromLong(as_future(self)->state == State::kCancelled ? 1 : 0);
}

PyObject* future_get_loop(PyObject* self, PyObject* /*unused*/) { return Py_NewRef(as_future(self)->loop); }

PyObject* future_make_cancelled_error(PyObject* self, PyObject* /*unused*/) {
  return make_cancelled_error(as_future(self));
}

// A caller has gone; the item goes with the last one, when it still waits.
void leave(BatchFuture* self) {
  const PyRef led = PyRef(std::exchange(self->leader, nullptr));
  BatchFuture* holder = led ? as_future(led.get()) : self;
  if (holder->lane != nullptr && !is_awaited(holder)) {
    lane_leave(holder->lane, holder);
  }
}

PyObject* future_cancel(PyObject* object, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  BatchFuture* self = as_future(object);
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (nargs + named > 1 ||
      (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "msg") != 0)) {
    PyErr_SetString(PyExc_TypeError, "cancel() takes at most one argument, msg");
    return nullptr;
  }
  self->log_traceback = false;
  if (self->state != State::kPending) {
    Py_RETURN_FALSE;
  }
  self->state = State::kCancelled;
  Py_XSETREF(self->cancel_message, nargs + named == 1 ? Py_NewRef(args[0]) : nullptr);
  CallbackPass pass;
  move_callbacks(self, pass);
  const PyRef keep = PyRef::share(object);  // the queue's reference may be the last but the caller's
  leave(self);
  pass.schedule(self->loop);
  Py_RETURN_TRUE;
}

bool add_callback(BatchFuture* self, PyObject* callback, PyObject* context) {
  if (self->state != State::kPending) {
    const std::array<PyObject*, 4> args{self->loop, callback, as_object(self), context};
    return static_cast<bool>(PyRef(PyObject_VectorcallMethod(call_soon_name, args.data(), 3, context_names)));
  }
  if (self->callback == nullptr) {
    self->callback = Py_NewRef(callback);
    self->context = Py_NewRef(context);
    return true;
  }
  if (self->more == nullptr && (self->more = PyList_New(0)) == nullptr) {
    return false;
  }
  const PyRef pair(PyTuple_Pack(2, callback, context));
  return pair && PyList_Append(self->more, pair.get()) == 0;
}

PyObject* future_add_done_callback(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                                   PyObject* kwnames) {
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (nargs != 1 || named > 1 ||
      (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "context") != 0)) {
    PyErr_SetString(PyExc_TypeError, "add_done_callback() takes a callback and, by name, a context");
    return nullptr;
  }
  const PyRef context =
      named == 1 && args[1] != Py_None ? PyRef::share(args[1]) : PyRef(PyContext_CopyCurrent());
  if (!context || !add_callback(as_future(self), args[0], context.get())) {
    return nullptr;
  }
  Py_RETURN_NONE;
}

// The callbacks as asyncio shows them: a list of (callback, context).
PyObject* list_callbacks(BatchFuture* self) {
  PyRef all(PyList_New(0));
  if (all && self->callback != nullptr) {
    const PyRef first(PyTuple_Pack(2, self->callback, self->context));
    if (!first || PyList_Append(all.get(), first.get()) < 0 ||
        (self->more != nullptr && PyList_SetSlice(all.get(), 1, 1, self->more) < 0)) {
      return nullptr;
    }
  }
  return all.release();
}

PyObject* future_remove_done_callback(PyObject* object, PyObject* callback) {
  BatchFuture* self = as_future(object);
  const PyRef all(list_callbacks(self));
  if (!all) {
    return nullptr;
  }
  const PyRef kept(PyList_New(0));
  for (Py_ssize_t i = 0; kept && i < PyList_GET_SIZE(all.get()); ++i) {
    PyObject* pair = PyList_GET_ITEM(all.get(), i);
    const int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 0), callback, Py_EQ);
    if (same < 0 || (same == 0 && PyList_Append(kept.get(), pair) < 0)) {
      return nullptr;
    }
  }
  if (!kept) {
    return nullptr;
  }
  const Py_ssize_t removed = PyList_GET_SIZE(all.get()) - PyList_GET_SIZE(kept.get());
  if (self->state == State::kPending && removed > 0) {
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->more);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(kept.get()); ++i) {
      PyObject* pair = PyList_GET_ITEM(kept.get(), i);
      if (!add_callback(self, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1))) {
        return nullptr;
      }
    }
  }
  return PyLong_FromSsize_t(removed);
}

PyObject* future_refuse_setting(PyObject* /*self*/, PyObject* /*value*/) {
  PyErr_SetString(PyExc_RuntimeError, "a batched request is settled by its batch alone");
  return nullptr;
}

// ---- attributes

PyObject* get_blocking(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_future(self)->blocking ? 1 : 0);
}
int set_blocking(PyObject* self, PyObject* value, void* /*unused*/) {
  const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
  as_future(self)->blocking = truth == 1;
  return truth < 0 ? -1 : 0;
}

PyObject* get_state(PyObject* self, void* /*unused*/) {
  switch (as_future(self)->state) {
    case State::kPending:
      return PyUnicode_InternFromString("PENDING");
    case State::kCancelled:
      return PyUnicode_InternFromString("CANCELLED");
    default:
      return PyUnicode_InternFromString("FINISHED");
  }
}
PyObject* get_result(PyObject* self, void* /*unused*/) {
  const BatchFuture* future = as_future(self);
  return Py_NewRef(future->state == State::kFinished ? future->outcome : Py_None);
}
PyObject* get_exception(PyObject* self, void* /*unused*/) {
  const BatchFuture* future = as_future(self);
  return Py_NewRef(future->state == State::kFailed ? future->outcome : Py_None);
}
PyObject* get_callbacks(PyObject* self, void* /*unused*/) {
  return as_future(self)->callback == nullptr ? Py_NewRef(Py_None) : list_callbacks(as_future(self));
}
PyObject* get_loop(PyObject* self, void* /*unused*/) { return Py_NewRef(as_future(self)->loop); }
PyObject* get_none(PyObject* /*self*/, void* /*unused*/) { Py_RETURN_NONE; }
PyObject* get_cancel_message(PyObject* self, void* /*unused*/) {
  PyObject* message = as_future(self)->cancel_message;
  return Py_NewRef(message == nullptr ? Py_None : message);
}
int set_cancel_message(PyObject* self, PyObject* value, void* /*unused*/) {
  Py_XSETREF(as_future(self)->cancel_message, Py_XNewRef(value));
  return 0;
}
PyObject* get_log_traceback(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(as_future(self)->log_traceback ? 1 : 0);
}
int set_log_traceback(PyObject* self, PyObject* value, void* /*unused*/) {
  const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (truth > 0) {
    PyErr_SetString(PyExc_ValueError, "_log_traceback can only be set to False");
    return -1;
  }
  as_future(self)->log_traceback = false;
  return truth;
}

template <typename Function>
PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace

void move_callbacks(BatchFuture* self, CallbackPass& pass) {
  if (self->callback == nullptr) {
    return;
  }
  pass.add(std::exchange(self->callback, nullptr), std::exchange(self->context, nullptr), as_object(self));
  const PyRef more(std::exchange(self->more, nullptr));
  for (Py_ssize_t i = 0; more && i < PyList_GET_SIZE(more.get()); ++i) {
    PyObject* pair = PyList_GET_ITEM(more.get(), i);
    pass.add(Py_NewRef(PyTuple_GET_ITEM(pair, 0)), Py_NewRef(PyTuple_GET_ITEM(pair, 1)), as_object(self));
  }
}

PyObject* take_outcome(BatchFuture* self) {
  switch (self->state) {
    case State::kFinished:
      return Py_NewRef(self->outcome);
    case State::kFailed:
      self->log_traceback = false;
      PyException_SetTraceback(self->outcome, self->traceback == nullptr ? Py_None : self->traceback);
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(self->outcome)), self->outcome);
      return nullptr;
    default:
      raise_cancelled(self);
      return nullptr;
  }
}

PyObject* batch_future_repr(PyObject* self) {
  const PyRef info(PyObject_CallOneArg(repr_info, self));
  const PyRef space(PyUnicode_FromString(" "));
  const PyRef text(info && space ? PyUnicode_Join(space.get(), info.get()) : nullptr);
  return text ? PyUnicode_FromFormat("<BatchFuture %U>", text.get()) : nullptr;
}

PyMethodDef batch_future_methods[] = {
    {"result", future_result, METH_NOARGS, "Return the item's result, or raise what it failed with."},
    {"exception", future_exception, METH_NOARGS, "Return what the item failed with, or None."},
    {"done", future_done, METH_NOARGS, "Whether there is a result, an exception or a cancellation."},
    {"cancelled", future_cancelled, METH_NOARGS, "Whether it was cancelled."},
    {"cancel", as_method(future_cancel), METH_FASTCALL | METH_KEYWORDS,
     "cancel($self, /, msg=None)\n--\n\nLeave the batch: an item that has not gone is not sent."},
    {"add_done_callback", as_method(future_add_done_callback), METH_FASTCALL | METH_KEYWORDS,
     "add_done_callback(fn, *, context=None): run fn(future) on the loop when it is done."},
    {"remove_done_callback", future_remove_done_callback, METH_O, "Remove all that equal fn; how many."},
    {"get_loop", future_get_loop, METH_NOARGS, "Return the event loop it belongs to."},
    {"set_result", future_refuse_setting, METH_O, "Not for callers: RuntimeError."},
    {"set_exception", future_refuse_setting, METH_O, "Not for callers: RuntimeError."},
    {"_make_cancelled_error", future_make_cancelled_error, METH_NOARGS, "As of asyncio.Future."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "BatchFuture[T]: a future of T."},
    {nullptr}};

PyGetSetDef batch_future_properties[] = {{"_asyncio_future_blocking", get_blocking, set_blocking},
                                         {"_state", get_state},
                                         {"_result", get_result},
                                         {"_exception", get_exception},
                                         {"_callbacks", get_callbacks},
                                         {"_loop", get_loop},
                                         {"_source_traceback", get_none},
                                         {"_cancel_message", get_cancel_message, set_cancel_message},
                                         {"_log_traceback", get_log_traceback, set_log_traceback},
                                         {nullptr}};

bool init_batch_future_protocol() {
  const PyRef exceptions(PyImport_ImportModule("asyncio.exceptions"));
  const PyRef base(PyImport_ImportModule("asyncio.base_futures"));
  if (!exceptions || !base) {
    return false;
  }
  cancelled_error = PyObject_GetAttrString(exceptions.get(), "CancelledError");
  invalid_state_error = PyObject_GetAttrString(exceptions.get(), "InvalidStateError");
  repr_info = PyObject_GetAttrString(base.get(), "_future_repr_info");
  call_soon_name = PyUnicode_InternFromString("call_soon");
  context_names = Py_BuildValue("(s)", "context");
  return cancelled_error != nullptr && invalid_state_error != nullptr && repr_info != nullptr &&
         call_soon_name != nullptr && context_names != nullptr;
}

}  // namespace resilience::bindings
