#include "batch_lane.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "errors.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyTypeObject lane_type;
PyObject* launch_name = nullptr;
PyObject* bound_name = nullptr;
PyObject* unbound_name = nullptr;
PyObject* call_soon_name = nullptr;

PyObject* as_object(BatchLane* lane) { return reinterpret_cast<PyObject*>(lane); }
BatchLane* as_lane(PyObject* self) { return reinterpret_cast<BatchLane*>(self); }

// Holds the lane while its queue isn't empty.
void keep_while_waiting(BatchLane* lane) {
  const bool waiting = lane->queue.size() > 0;
  if (waiting != lane->kept) {
    lane->kept = waiting;
    if (waiting) {
      Py_INCREF(as_object(lane));
    } else {
      Py_DECREF(as_object(lane));
    }
  }
}

void disarm(BatchLane* lane) {
  if (lane->armed != kForever) {
    Engine::instance().cancel(*lane->batcher->state.clock, lane->timer);
    lane->armed = kForever;
  }
}

// One timer a lane. A deadline that moved away is left to fire for nothing: setting it again costs more.
void arm(BatchLane* lane, Nanos when) {
  if (when >= lane->armed) {
    return;
  }
  disarm(lane);
  lane->armed = when;
  lane->timer = Engine::instance().schedule(
      *lane->batcher->state.clock, when,
      [queue = lane->bridge->queue(), handler = lane->handler] { queue->push({handler, 1}); });
}

// Has the loop look at the queue in its next pass, so that what arrives in this one goes together.
bool poll_next_pass(BatchLane* lane, PyObject* loop) {
  if (lane->pass_due) {
    return true;
  }
  const std::array<PyObject*, 2> args{loop, as_object(lane)};
  const PyRef handle(PyObject_VectorcallMethod(call_soon_name, args.data(), args.size(), nullptr));
  lane->pass_due = static_cast<bool>(handle);
  return lane->pass_due;
}

void forget_key(BatchLane* lane, BatchFuture* future) {
  if (future->key == nullptr || lane->keys == nullptr) {
    return;
  }
  const SavedError saved;
  const PyRef key(std::exchange(future->key, nullptr));
  if (PyDict_DelItem(lane->keys, key.get()) < 0) {
    PyErr_WriteUnraisable(key.get());  // a broken __eq__ or __hash__
  }
}

// What the queue held is the caller's reference now.
PyRef released(BatchLane* lane, BatchFuture* future) {
  future->lane = nullptr;
  forget_key(lane, future);
  return PyRef(as_object(future));
}

void drop_expired(BatchLane* lane, Nanos now) {
  CallbackPass pass;
  PyRef loop;
  while (BatchItem* item = lane->queue.pop_expired(now)) {
    BatchFuture* future = future_of(item);
    const PyRef owned = released(lane, future);
    const PyRef error(PyObject_CallFunction(errors().call_timeout, "Od", lane->batcher->name,
                                            seconds_from_nanos(item->deadline - item->arrived)));
    if (!error) {
      PyErr_WriteUnraisable(lane->batcher->name);
      continue;
    }
    loop = PyRef::share(future->loop);
    settle_group_error(future, error.get(), pass);
  }
  if (loop) {
    pass.schedule(loop.get());
  }
}

// Hands a batch to the Python half, which runs the function in a task.
void launch(BatchLane* lane, const BatchQueue::Decision& decision) {
  std::vector<BatchItem*> items;
  items.reserve(decision.size);
  lane->queue.take(decision.size, items);
  ++lane->in_flight;
  for (BatchItem* item : items) {
    BatchFuture* future = future_of(item);
    future->lane = nullptr;
    forget_key(lane, future);
  }
  const PyRef batch(make_batch(lane, items, decision.reason));
  if (!batch) {
    PyErr_WriteUnraisable(as_object(lane));
    return;
  }
  auto* batcher = reinterpret_cast<PyObject*>(lane->batcher);
  const PyRef launched(PyObject_CallMethodOneArg(batcher, launch_name, batch.get()));
  if (!launched) {
    const PyRef error(take_error());
    const PyRef failed(PyObject_CallMethod(batch.get(), "fail", "O", error.get()));
    const PyRef ended(PyObject_CallMethod(batch.get(), "end", "O", Py_False));
    if (!failed || !ended) {
      PyErr_WriteUnraisable(as_object(lane));
    }
  }
}

bool on_wake(BatchLane* lane, std::int64_t by_timer) {
  if (by_timer != 0) {
    lane->armed = kForever;
  }
  lane_poll(lane);
  return true;
}

// The loop is gone: nobody who waits there will ever run again.
void on_loop_closed(BatchLane* lane) {
  const PyRef keep = PyRef::share(as_object(lane));
  BatcherState& state = lane->batcher->state;
  lane->loop = nullptr;
  disarm(lane);
  for (; lane->in_flight > 0; --lane->in_flight) {
    state.machine.batch_dropped();
  }
  std::vector<BatchItem*> waiting;
  if (lane->queue.size() > 0) {
    lane->queue.drain(waiting);
  }
  for (BatchItem* item : waiting) {
    const PyRef owned = released(lane, future_of(item));
    abandon(future_of(item));
  }
  const auto place = std::ranges::find(state.lanes, lane);
  if (place != state.lanes.end()) {
    state.lanes.erase(place);
    Py_DECREF(as_object(lane));
  }
  state.latest = nullptr;
  keep_while_waiting(lane);
  for (BatchLane* other : state.lanes) {
    lane_wake(other);  // slots may have become free
  }
  if (!PyRef(PyObject_CallMethodNoArgs(reinterpret_cast<PyObject*>(lane->batcher), unbound_name))) {
    PyErr_WriteUnraisable(lane->batcher->name);
  }
}

PyObject* lane_call(PyObject* self, PyObject* /*args*/, PyObject* /*kwargs*/) {
  as_lane(self)->pass_due = false;
  lane_poll(as_lane(self));
  Py_RETURN_NONE;
}

int lane_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(reinterpret_cast<PyObject*>(as_lane(self)->batcher));
  Py_VISIT(as_lane(self)->keys);
  return 0;
}

int lane_clear(PyObject* self) {
  Py_CLEAR(as_lane(self)->keys);
  return 0;
}

void lane_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  BatchLane* lane = as_lane(self);
  if (lane->bridge) {
    disarm(lane);
    lane->bridge->detach(lane->handler);
  }
  lane_clear(self);
  lane->bridge.~shared_ptr();
  lane->queue.~BatchQueue();
  auto* batcher = reinterpret_cast<PyObject*>(lane->batcher);
  PyObject_GC_Del(self);
  Py_XDECREF(batcher);
}

PyObject* lane_repr(PyObject* self) {
  return PyUnicode_FromFormat("<lane of batcher %R: %zd waiting>", as_lane(self)->batcher->name,
                              static_cast<Py_ssize_t>(as_lane(self)->queue.size()));
}

BatchLane* make_lane(BatcherObject* batcher, PyObject* loop) {
  auto bridge = LoopBridge::of(loop);
  if (!bridge) {
    return nullptr;
  }
  auto* lane = PyObject_GC_New(BatchLane, &lane_type);
  if (lane == nullptr) {
    return nullptr;
  }
  lane->batcher = reinterpret_cast<BatcherObject*>(Py_NewRef(reinterpret_cast<PyObject*>(batcher)));
  lane->loop = loop;
  lane->keys = nullptr;
  new (&lane->bridge) std::shared_ptr<LoopBridge>(std::move(bridge));
  new (&lane->queue) BatchQueue(batcher->state.machine);
  lane->timer = 0;
  lane->armed = kForever;
  lane->in_flight = 0;
  lane->pass_due = lane->kept = false;
  // The bridge forgets a lane before it dies, so borrowing it here is safe.
  lane->handler = lane->bridge->attach([lane](std::int64_t by_timer) { return on_wake(lane, by_timer); },
                                       [lane] { on_loop_closed(lane); });
  PyObject_GC_Track(as_object(lane));
  return lane;
}

// The future of the same id that waits already, which `future` then shares; or none, and `future` is noted.
bool share_item(BatchLane* lane, BatchFuture* future, bool& shared) {
  if (lane->keys == nullptr && (lane->keys = PyDict_New()) == nullptr) {
    return false;
  }
  PyObject* leader = PyDict_GetItemWithError(lane->keys, future->key);
  if (leader != nullptr) {
    shared = true;
    Py_CLEAR(future->key);
    return follow(future, reinterpret_cast<BatchFuture*>(leader));
  }
  return PyErr_Occurred() == nullptr;
}

bool refuse(BatchFuture* future, PyObject* type, BatcherObject* batcher) {
  const PyRef error(make_refusal(type, batcher));
  if (!error) {
    return false;
  }
  CallbackPass none;  // nobody has seen the future yet
  settle_error(future, error.get(), none);
  return true;
}

}  // namespace

bool init_batch_lane() {
  lane_type.tp_name = "resilience._core._BatchLane";
  lane_type.tp_basicsize = sizeof(BatchLane);
  lane_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  lane_type.tp_call = lane_call;
  lane_type.tp_traverse = lane_traverse;
  lane_type.tp_clear = lane_clear;
  lane_type.tp_dealloc = lane_dealloc;
  lane_type.tp_repr = lane_repr;
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&lane_type), 1);
  launch_name = PyUnicode_InternFromString("_launch");
  bound_name = PyUnicode_InternFromString("_bound");
  unbound_name = PyUnicode_InternFromString("_unbound");
  call_soon_name = PyUnicode_InternFromString("call_soon");
  return launch_name != nullptr && bound_name != nullptr && unbound_name != nullptr &&
         call_soon_name != nullptr && PyType_Ready(&lane_type) == 0;
}

BatchLane* lane_on(BatcherObject* batcher, PyObject* loop) {
  BatcherState& state = batcher->state;
  if (state.latest != nullptr && state.latest->loop == loop) [[likely]] {
    return state.latest;
  }
  for (BatchLane* lane : state.lanes) {
    if (lane->loop == loop) {
      return state.latest = lane;
    }
  }
  BatchLane* lane = make_lane(batcher, loop);
  if (lane == nullptr) {
    return nullptr;
  }
  state.lanes.push_back(lane);
  const PyRef bound(PyObject_CallMethodOneArg(reinterpret_cast<PyObject*>(batcher), bound_name, loop));
  return bound ? state.latest = lane : nullptr;
}

bool lane_accept(BatchLane* lane, BatchFuture* future) {
  const BatcherState& state = lane->batcher->state;
  if (state.closed) {
    return refuse(future, errors().batcher_closed, lane->batcher);
  }
  bool shared = false;
  if (future->key != nullptr && !share_item(lane, future, shared)) {
    return false;
  }
  if (shared) {
    return true;
  }
  BatchQueue& queue = lane->queue;
  if (!queue.push(future->item)) {
    Py_CLEAR(future->key);
    return refuse(future, errors().batch_queue_full, lane->batcher);
  }
  if (future->key != nullptr && PyDict_SetItem(lane->keys, future->key, as_object(future)) < 0) {
    queue.remove(future->item);
    return false;
  }
  Py_INCREF(as_object(future));
  future->lane = lane;
  const BatcherConfig& config = state.machine.config();
  if (!lane->kept) {
    keep_while_waiting(lane);
  }
  if (queue.full()) {
    lane_poll(lane);
  } else if (config.adaptive || config.batch_timeout == 0) {
    return poll_next_pass(lane, future->loop);
  } else if (queue.size() == 1 || future->item.deadline != kForever) {
    arm(lane, queue.decide(future->item.arrived).ask_again);
  }
  return true;
}

void lane_leave(BatchLane* lane, BatchFuture* future) {
  lane->queue.remove(future->item);
  lane->batcher->state.machine.left();
  const PyRef owned = released(lane, future);
  keep_while_waiting(lane);
}

void lane_poll(BatchLane* lane) {
  if (lane->loop == nullptr) {
    return;
  }
  const PyRef keep = PyRef::share(as_object(lane));
  const Clock& clock = *lane->batcher->state.clock;
  drop_expired(lane, clock.now());
  for (;;) {
    const auto decision = lane->queue.decide(clock.now());
    if (decision.size == 0) {
      arm(lane, decision.ask_again);
      break;
    }
    launch(lane, decision);
  }
  keep_while_waiting(lane);
}

void lane_wake(BatchLane* lane) { lane->bridge->queue()->push({lane->handler, 0}); }

void lane_abort(BatchLane* lane) {
  const PyRef keep = PyRef::share(as_object(lane));
  std::vector<BatchItem*> waiting;
  lane->queue.drain(waiting);
  CallbackPass pass;
  PyRef loop;
  for (BatchItem* item : waiting) {
    BatchFuture* future = future_of(item);
    const PyRef owned = released(lane, future);
    const PyRef error(make_refusal(errors().batcher_closed, lane->batcher));
    if (error) {
      loop = PyRef::share(future->loop);
      settle_group_error(future, error.get(), pass);
    } else {
      PyErr_WriteUnraisable(as_object(lane));
    }
  }
  if (loop) {
    pass.schedule(loop.get());
  }
  keep_while_waiting(lane);
}

PyObject* make_refusal(PyObject* type, BatcherObject* batcher) {
  return make_rejection(type, batcher->name, -1);
}

}  // namespace resilience::bindings
