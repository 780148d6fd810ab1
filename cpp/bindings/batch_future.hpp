// What add_request() returns: a future of asyncio's protocol, so that `await`, gather, wait, wait_for, shield
// and TaskGroup take it without a task, and the item of its queue in one object.
//
// It differs from asyncio.Future in how it is resolved: all of a batch are settled first, and their callbacks
// then run as one callback of the loop. It is its own await iterator: a step returns the result when there is
// one and yields the future itself otherwise, so there is no state to keep. Thread-safety: as asyncio's, only
// on its loop's thread.
#pragma once

#include <Python.h>

#include "callback_pass.hpp"
#include "resilience/batcher.hpp"

namespace resilience::bindings {

struct BatchLane;

struct BatchFuture {
  enum class State : unsigned char { kPending, kFinished, kFailed, kCancelled };

  PyObject_HEAD PyObject* loop;
  PyObject* payload;    // until it is handed to the function
  PyObject* key;        // the request's id, with dedupe only
  PyObject* outcome;    // the result, or the exception
  PyObject* traceback;  // of the exception as it came, so that raising it twice doesn't lengthen it
  PyObject* cancel_message;
  PyObject* callback;  // the first one, with its context
  PyObject* context;
  PyObject* more;       // list of (callback, context)
  PyObject* followers;  // list of the futures that share this one's item (dedupe)
  PyObject* leader;     // whose item this one shares, while that waits or runs
  PyObject* weakrefs;
  BatchLane* lane;  // borrowed; set while the item waits, which keeps the lane alive
  BatchItem item;
  State state;
  bool blocking;
  bool log_traceback;
};

bool init_batch_future(PyObject* module);

// A pending future of `loop` for `payload`; null with an exception set.
BatchFuture* make_batch_future(PyObject* loop, PyObject* payload);

inline PyObject* as_object(BatchFuture* future) { return reinterpret_cast<PyObject*>(future); }
BatchFuture* future_of(BatchItem* item);

// Whether anybody still waits for the future's item: its own caller, or one that shares it.
bool is_awaited(const BatchFuture* future);
// Shares `leader`'s item. False with an exception set.
bool follow(BatchFuture* follower, BatchFuture* leader);

// Settle one future if it is pending, moving its callbacks to `pass`.
void settle_result(BatchFuture* future, PyObject* result, CallbackPass& pass);
void settle_error(BatchFuture* future, PyObject* error, CallbackPass& pass);
// Without callbacks: its loop is gone.
void abandon(BatchFuture* future);

}  // namespace resilience::bindings
