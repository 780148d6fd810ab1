// The part of BatchFuture that speaks asyncio.Future's protocol: its methods, attributes and representation.
#pragma once

#include <Python.h>

#include "batch_future.hpp"

namespace resilience::bindings {

// Looks asyncio's names up. False with an exception set.
bool init_batch_future_protocol();

extern PyMethodDef batch_future_methods[];
extern PyGetSetDef batch_future_properties[];
PyObject* batch_future_repr(PyObject* self);

// The result (new reference), or null with what it failed with set. REQUIRES: not pending.
PyObject* take_outcome(BatchFuture* self);
// Its callbacks become part of `pass`.
void move_callbacks(BatchFuture* self, CallbackPass& pass);

}  // namespace resilience::bindings
