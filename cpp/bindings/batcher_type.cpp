// RequestBatcher's native base: the type, and what its Python half asks of the machine.
#include <Python.h>
#include <structmember.h>

#include <algorithm>
#include <array>
#include <new>

#include "batch_lane.hpp"
#include "batcher_type.hpp"
#include "bindings.hpp"
#include "errors.hpp"
#include "py_ref.hpp"
#include "running_loop.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// _configure(batch_size, batch_timeout_ms, max_pending, max_concurrent_batches, adaptive, max_batch_weight)
PyObject* configure(PyObject* object, PyObject* args) {
  BatcherConfig config;
  unsigned int size = 0;
  unsigned int pending = 0;
  unsigned int concurrent = 0;
  double timeout_ms = 0.0;
  int adaptive = 0;
  if (PyArg_ParseTuple(args, "IdIIpd", &size, &timeout_ms, &pending, &concurrent, &adaptive,
                       &config.max_batch_weight) == 0) {
    return nullptr;
  }
  config.batch_size = size;
  config.batch_timeout = timeout_ms >= 0.0 ? nanos_from_seconds(timeout_ms / 1e3) : -1;
  config.max_pending = pending;
  config.max_concurrent_batches = concurrent;
  config.adaptive = adaptive != 0;
  if (const InvalidArgument wrong = config.validate()) {
    PyErr_SetString(PyExc_ValueError, wrong.message().c_str());
    return nullptr;
  }
  BatcherState& state = as_batcher(object)->state;
  state.machine.reconfigure(config);
  for (BatchLane* lane : state.lanes) {
    lane_wake(lane);
  }
  Py_RETURN_NONE;
}

// _prepare(name, weigher, dedupe, clock, priority): once, by __init__
PyObject* prepare(PyObject* object, PyObject* args) {
  BatcherObject* self = as_batcher(object);
  PyObject* name = nullptr;
  PyObject* weigher = nullptr;
  PyObject* clock = nullptr;
  PyObject* priority = nullptr;
  int dedupe = 0;
  if (PyArg_ParseTuple(args, "UOpOO!", &name, &weigher, &dedupe, &clock, &PyContextVar_Type, &priority) ==
      0) {
    return nullptr;
  }
  if (clock != Py_None) {
    try {
      self->state.clock = py::cast<std::shared_ptr<Clock>>(py::handle(clock));
    } catch (const py::cast_error&) {
      PyErr_Format(PyExc_TypeError, "clock must be a Clock or None, got %R", clock);
      return nullptr;
    }
  }
  Py_XSETREF(self->name, Py_NewRef(name));
  Py_XSETREF(self->weigher, weigher == Py_None ? nullptr : Py_NewRef(weigher));
  Py_XSETREF(self->priority, Py_NewRef(priority));
  self->state.dedupe = dedupe != 0;
  Py_RETURN_NONE;
}

// The lane of the running loop, if it has one (borrowed); null with an exception set when no loop runs.
BatchLane* lane_here(BatcherObject* self, bool& failed) {
  const PyRef loop(loop_here());
  failed = !loop;
  const auto& lanes = self->state.lanes;
  const auto found =
      std::ranges::find_if(lanes, [&](const BatchLane* lane) { return lane->loop == loop.get(); });
  return failed || found == lanes.end() ? nullptr : *found;
}

// _flush(): all that wait now are due.
PyObject* flush(PyObject* object, PyObject* /*unused*/) {
  BatcherObject* self = as_batcher(object);
  bool failed = false;
  BatchLane* here = lane_here(self, failed);
  if (failed) {
    return nullptr;
  }
  for (BatchLane* lane : self->state.lanes) {
    lane->queue.flush(self->state.closed ? DispatchReason::kClose : DispatchReason::kFlush);
    if (lane != here) {
      lane_wake(lane);
    }
  }
  if (here != nullptr) {
    lane_poll(here);
  }
  Py_RETURN_NONE;
}

// _refuse(): takes nothing in from now on.
PyObject* refuse(PyObject* object, PyObject* /*unused*/) {
  as_batcher(object)->state.closed = true;
  Py_RETURN_NONE;
}

PyObject* is_closed(PyObject* object, void* /*unused*/) {
  return PyBool_FromLong(as_batcher(object)->state.closed ? 1 : 0);
}

// _abort(): what waits on the running loop fails with BatcherClosedError.
PyObject* abort_here(PyObject* object, PyObject* /*unused*/) {
  bool failed = false;
  BatchLane* lane = lane_here(as_batcher(object), failed);
  if (lane != nullptr) {
    lane_abort(lane);
  }
  return failed ? nullptr : Py_NewRef(Py_None);
}

// _waiting(): the futures that wait on the running loop.
PyObject* waiting_here(PyObject* object, PyObject* /*unused*/) {
  bool failed = false;
  const BatchLane* lane = lane_here(as_batcher(object), failed);
  PyRef list(failed ? nullptr : PyList_New(0));
  if (list && lane != nullptr) {
    lane->queue.for_each([&](BatchItem* item) {
      failed = failed || PyList_Append(list.get(), as_object(future_of(item))) < 0;
    });
  }
  return failed ? nullptr : list.release();
}

double milliseconds(Nanos nanos) { return static_cast<double>(nanos) / static_cast<double>(kNanosPerMilli); }

py::dict reasons_of(const BatcherTotals& totals) {
  static constexpr std::array<const char*, kDispatchReasons> names{"full",     "timer", "idle",
                                                                   "deadline", "flush", "close"};
  py::dict reasons;
  for (std::size_t i = 0; i < kDispatchReasons; ++i) {
    reasons[names[i]] = totals.reasons[i];
  }
  return reasons;
}

PyObject* metrics(PyObject* object, PyObject* /*unused*/) {
  const BatcherState& state = as_batcher(object)->state;
  const Batcher& machine = state.machine;
  const BatcherTotals& totals = machine.totals();
  const Nanos now = state.clock->now();
  Nanos oldest = now;
  for (const BatchLane* lane : state.lanes) {
    oldest = std::min(oldest, lane->queue.oldest_arrival());
  }
  const auto each = [](auto sum, std::uint64_t count) {
    return count == 0 ? 0.0 : static_cast<double>(sum) / static_cast<double>(count);
  };
  const double average = each(totals.requests, totals.batches);
  py::dict all;
  all["total_batches"] = totals.batches;
  all["total_requests"] = totals.requests;
  all["avg_batch_size"] = average;
  all["avg_wait_time_ms"] = each(totals.waited, totals.requests) / static_cast<double>(kNanosPerMilli);
  all["p50_wait_time_ms"] = milliseconds(totals.waits.percentile(0.5));
  all["p99_wait_time_ms"] = milliseconds(totals.waits.percentile(0.99));
  all["pending_requests"] = machine.pending();
  all["oldest_pending_ms"] = milliseconds(now - oldest);
  all["in_flight"] = machine.in_flight();
  all["efficiency_ratio"] = average / machine.config().batch_size;
  all["fill"] = static_cast<double>(machine.pending()) / machine.config().max_pending;
  all["rejected"] = totals.rejected;
  all["cancelled"] = totals.cancelled;
  all["expired"] = totals.expired;
  all["failed_batches"] = totals.failed_batches;
  all["arrivals_per_second"] = machine.arrivals_per_second(now);
  all["cost_per_batch_ms"] = machine.cost().per_batch() * 1e3;
  all["cost_per_item_ms"] = machine.cost().per_item() * 1e3;
  all["dispatch_reasons"] = reasons_of(totals);
  return all.release().ptr();
}

// ---- life

PyObject* batcher_new(PyTypeObject* type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) {
    new (&as_batcher(self)->state) BatcherState();
    as_batcher(self)->name = PyUnicode_InternFromString("batcher");
  }
  return self;
}

int batcher_traverse(PyObject* self, visitproc visit, void* arg) {
  const BatcherObject* batcher = as_batcher(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(batcher->dict);
  Py_VISIT(batcher->weigher);
  for (BatchLane* lane : batcher->state.lanes) {
    Py_VISIT(reinterpret_cast<PyObject*>(lane));
  }
  return 0;
}

int batcher_clear(PyObject* self) {
  BatcherObject* batcher = as_batcher(self);
  batcher->state.latest = nullptr;
  const auto lanes = std::exchange(batcher->state.lanes, {});
  for (BatchLane* lane : lanes) {
    Py_DECREF(reinterpret_cast<PyObject*>(lane));
  }
  Py_CLEAR(batcher->weigher);
  Py_CLEAR(batcher->dict);
  return 0;
}

void batcher_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  BatcherObject* batcher = as_batcher(self);
  if (batcher->weakrefs != nullptr) {
    PyObject_ClearWeakRefs(self);
  }
  batcher_clear(self);
  Py_CLEAR(batcher->name);
  Py_CLEAR(batcher->priority);
  batcher->state.~BatcherState();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(reinterpret_cast<PyObject*>(type));
}

PyMethodDef methods[] = {
    {"add_request", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(add_request)),
     METH_FASTCALL | METH_KEYWORDS,
     "add_request($self, request_id, payload, *, priority=0, timeout=None)\n--\n\n"
     "Put an item into the queue, at once, and return a future of its result.\n\n"
     "Args:\n"
     "    request_id: names the item; with `dedupe`, equal ids that wait together are one item.\n"
     "    payload: what the batch function gets.\n"
     "    priority: higher goes first, within [-1000000, 1000000]; ten windows of waiting outweigh one. By\n"
     "        default that of `with priority(n)` around the caller, and else 0.\n"
     "    timeout: seconds >= 0 after which an item that has not gone is dropped with CallTimeoutError.\n\n"
     "Returns:\n"
     "    A future that is awaited, gathered and cancelled like any of asyncio's. It fails with\n"
     "    BatchQueueFullError or BatcherClosedError when the item is refused, with BatchError when the "
     "batch\n"
     "    function breaks its contract, and with what the function raised otherwise.\n\n"
     "Raises:\n"
     "    RuntimeError: when no event loop is running in this thread.\n"
     "    ValueError: when an argument is out of range."},
    {"get_metrics", metrics, METH_NOARGS,
     "get_metrics($self)\n--\n\nReturn figures since the start, ready for JSON; averages are exact over all "
     "requests."},
    {"_configure", configure, METH_VARARGS, "Take new settings, all or none."},
    {"_prepare", prepare, METH_VARARGS, "Take what stays for life."},
    {"_flush", flush, METH_NOARGS, "Everything that waits now is due."},
    {"_refuse", refuse, METH_NOARGS, "Take nothing in from now on."},
    {"_abort", abort_here, METH_NOARGS, "Fail what waits on the running loop."},
    {"_waiting", waiting_here, METH_NOARGS, "The futures that wait on the running loop."},
    {nullptr}};

PyGetSetDef properties[] = {
    {"closed", is_closed, nullptr, "Whether the batcher takes nothing in any more.", nullptr}, {nullptr}};

PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(BatcherObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(BatcherObject, weakrefs), READONLY, nullptr},
    {nullptr}};

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Native half of RequestBatcher.")},
                       {Py_tp_new, reinterpret_cast<void*>(batcher_new)},
                       {Py_tp_traverse, reinterpret_cast<void*>(batcher_traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(batcher_clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(batcher_dealloc)},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, properties},
                       {Py_tp_members, members},
                       {0, nullptr}};

PyType_Spec spec = {"resilience._core.RequestBatcherBase", sizeof(BatcherObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

PyObject* loop_here() { return running_loop("no running event loop: batchers need asyncio"); }

bool init_batcher(PyObject* module) {
  const PyRef type(PyType_FromSpec(&spec));
  return type && PyModule_AddObjectRef(module, "RequestBatcherBase", type.get()) == 0;
}

void register_batcher(py::module_& module) {
  if (!init_callback_pass() || !init_batch_future(module.ptr()) || !init_batch_lane() ||
      !init_batch(module.ptr()) || !init_batcher(module.ptr())) {
    throw py::error_already_set();
  }
}

}  // namespace resilience::bindings
