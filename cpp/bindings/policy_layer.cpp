#include "policy_layer.hpp"

#include "errors.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyObject* to_list(const std::vector<Ticket>& tickets) {
  PyRef list(PyList_New(0));
  for (const Ticket& ticket : tickets) {
    const PyRef item(list ? Py_BuildValue("LK", static_cast<long long>(ticket.priority),
                                          static_cast<unsigned long long>(ticket.number))
                          : nullptr);
    if (!item || PyList_Append(list.get(), item.get()) < 0) {
      return nullptr;
    }
  }
  return list.release();
}

// Whether it is an asyncio.CancelledError. asyncio has been imported long before one is raised.
bool is_cancelled_error(PyObject* error) {
  static PyObject* type = nullptr;
  if (type == nullptr) {
    const PyRef module(PyImport_ImportModule("asyncio"));
    type = module ? PyObject_GetAttrString(module.get(), "CancelledError") : nullptr;
    PyErr_Clear();
  }
  return type != nullptr && PyObject_IsInstance(error, type) > 0;
}

// Raises `type`(owner.name, retry_after).
void refuse(PyObject* type, PyObject* owner, Nanos retry_after) {
  const PyRef name(PyObject_GetAttrString(owner, "name"));
  const PyRef error(name ? make_rejection(type, name.get(), retry_after) : nullptr);
  if (error) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  }
}

// The bucket of a call's key; null with an exception set. `key` becomes a str.
RateLimiter::Bucket* keyed_bucket(PolicyLayer& layer, const Arguments& call, PyObject** key) {
  const PyRef args(call.positional());
  const PyRef kwargs(args ? call.keywords() : nullptr);
  if (!kwargs) {
    return nullptr;
  }
  *key = PyObject_CallMethod(layer.rate_owner, "_key_of", "OO", args.get(), kwargs.get());
  Py_ssize_t length = 0;
  const char* text = *key == nullptr ? nullptr : PyUnicode_AsUTF8AndSize(*key, &length);
  if (text == nullptr) {
    Py_CLEAR(*key);
    return nullptr;
  }
  return &layer.rate->keyed.bucket({text, static_cast<std::size_t>(length)}, layer.rate->time.now());
}

}  // namespace

PyObject* Arguments::positional() const {
  PyObject* tuple = PyTuple_New(nargs);
  for (Py_ssize_t i = 0; tuple != nullptr && i < nargs; ++i) {
    PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
  }
  return tuple;
}

PyObject* Arguments::keywords() const {
  PyRef dict(PyDict_New());
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  for (Py_ssize_t i = 0; i < named && dict; ++i) {
    if (PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0) {
      return nullptr;
    }
  }
  return dict.release();
}

Passage detail::take_turn(PolicyLayer& layer, const Arguments& call, PyObject** key) {
  RateLimiterHandle& rate = *layer.rate;
  RateLimiter::Bucket* bucket = &rate.single;
  if (layer.rate_key != nullptr) {
    bucket = keyed_bucket(layer, call, key);
    if (bucket == nullptr) {
      return Passage::kRefused;
    }
  }
  const Nanos now = rate.time.now();
  const Nanos wait = rate.machine.try_acquire(*bucket, now);
  if (wait > 0 && layer.rate_waits) {
    return Passage::kWaits;
  }
  Py_CLEAR(*key);
  if (wait == 0) [[likely]] {
    return Passage::kInside;
  }
  refuse(errors().rate_limited, layer.rate_owner, wait);
  return Passage::kRefused;
}

Passage detail::full(PyObject* owner, bool waits) {
  if (waits) {
    return Passage::kWaits;
  }
  refuse(errors().bulkhead_full, owner, -1);
  return Passage::kRefused;
}

void passed(PolicyLayer& layer, Permits& permits) {
  switch (permits.next) {
    case Layer::kRate:
      permits.next = Layer::kBulkhead;
      break;
    case Layer::kBulkhead:
      permits.bulkhead = true;
      permits.next = Layer::kAdaptive;
      break;
    case Layer::kAdaptive:
      permits.adaptive = true;
      permits.admitted = layer.adaptive->time.now();
      permits.next = Layer::kInside;
      break;
    case Layer::kBreaker:
    case Layer::kInside:
      break;
  }
}

PyObject* owner_of(const PolicyLayer& layer, Layer waited_for) {
  if (waited_for == Layer::kRate) {
    return layer.rate_owner;
  }
  return waited_for == Layer::kBulkhead ? layer.bulkhead_owner : layer.adaptive_owner;
}

void detail::wake_bulkhead(PolicyLayer& layer, const Ticket& served) {
  const SavedError saved;
  const PyRef done(PyObject_CallMethod(layer.bulkhead_owner, "_serve", "((LK))",
                                       static_cast<long long>(served.priority),
                                       static_cast<unsigned long long>(served.number)));
  if (!done) {
    PyErr_WriteUnraisable(layer.bulkhead_owner);
  }
}

void detail::wake_adaptive(PolicyLayer& layer, const AdaptiveLimit::Woken& woken) {
  const SavedError saved;
  const PyRef served(to_list(woken.served));
  const PyRef shed(served ? to_list(woken.shed) : nullptr);
  const PyRef done(shed ? PyObject_CallMethod(layer.adaptive_owner, "_wake", "OO", served.get(), shed.get())
                        : nullptr);
  if (!done) {
    PyErr_WriteUnraisable(layer.adaptive_owner);
  }
}

LimitOutcome detail::limit_outcome(PolicyLayer& layer, PyObject* error) {
  if (error == nullptr || !PyObject_TypeCheck(error, reinterpret_cast<PyTypeObject*>(PyExc_Exception))) {
    return LimitOutcome::kIgnored;
  }
  const PyRef dropped(PyObject_CallMethod(layer.adaptive_owner, "_is_drop", "O", error));
  if (!dropped) {
    PyErr_WriteUnraisable(layer.adaptive_owner);
  }
  return dropped.get() == Py_True ? LimitOutcome::kDropped : LimitOutcome::kIgnored;
}

void detail::leave_adaptive(PolicyLayer& layer, Permits& permits, LimitOutcome outcome) {
  permits.adaptive = false;
  AdaptiveLimitHandle& limit = *layer.adaptive;
  AdaptiveLimit::Woken woken;
  limit.machine.release(permits.admitted, limit.time.now(), outcome, woken);
  if (!woken.served.empty() || !woken.shed.empty()) [[unlikely]] {
    wake_adaptive(layer, woken);
  }
}

void leave_with_error(PolicyLayer& layer, Permits& permits) {
  if (permits.adaptive) {
    PyObject* error = take_error();
    detail::leave_adaptive(layer, permits, detail::limit_outcome(layer, error));
    put_error(error);
  }
  detail::leave_bulkhead(layer, permits);
  if (permits.breaker) {
    permits.breaker = false;
    settle_error(*layer.breaker, permits.run);
  }
}

void leave_without_verdict(PolicyLayer& layer, Permits& permits) {
  if (permits.adaptive) {
    detail::leave_adaptive(layer, permits, LimitOutcome::kIgnored);
  }
  detail::leave_bulkhead(layer, permits);
  if (permits.breaker) {
    permits.breaker = false;
    settle_release(*layer.breaker, permits.run);
  }
}

void time_out(PyObject* owner, const TimeoutQueue& queue) {
  PyObject* cause = take_error();
  if (cause == nullptr || !is_cancelled_error(cause)) {
    put_error(cause);
    return;
  }
  const PyRef name(PyObject_GetAttrString(owner, "name"));
  PyObject* error = name ? PyObject_CallFunction(errors().call_timeout, "Od", name.get(),
                                                 seconds_from_nanos(queue.length()))
                         : nullptr;
  if (error == nullptr) {
    Py_DECREF(cause);
    return;
  }
  PyException_SetContext(error, Py_NewRef(cause));
  PyException_SetCause(error, cause);
  put_error(error);
}

int traverse_layer(const PolicyLayer& layer, visitproc visit, void* arg) {
  Py_VISIT(layer.attempts);
  Py_VISIT(layer.breaker_owner);
  Py_VISIT(layer.breaker_fallback);
  Py_VISIT(layer.rate_owner);
  Py_VISIT(layer.rate_key);
  Py_VISIT(layer.bulkhead_owner);
  Py_VISIT(layer.adaptive_owner);
  Py_VISIT(layer.timeout_owner);
  Py_VISIT(layer.total_owner);
  Py_VISIT(layer.fallback_owner);
  return 0;
}

PolicyLayer::~PolicyLayer() {
  for (PyObject* owned : {attempts, breaker_owner, breaker_fallback, rate_owner, rate_key, bulkhead_owner,
                          adaptive_owner, timeout_owner, total_owner, fallback_owner}) {
    Py_XDECREF(owned);
  }
}

}  // namespace resilience::bindings
