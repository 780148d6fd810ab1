// The native half of RequestBatcher. A BatcherObject holds what all loops share; a BatchLane is its queue on
// one event loop, with the timer that the engine keeps for it; a Batch is what has left the queue, from its
// dispatch until its slot is free again.
//
// References: a batcher owns its lanes, a lane its batcher; both take part in garbage collection. A lane
// whose queue isn't empty holds itself as well, since what will wake it, a native timer, is nothing the
// collector can see. A lane ends with its loop: what waits is cancelled and its batches no longer count.
//
// Thread-safety: a lane is used on its loop's thread, a batcher on any, all with the GIL.
#pragma once

#include <Python.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "batch_future.hpp"
#include "loop_bridge.hpp"
#include "resilience/batcher.hpp"
#include "resilience/engine.hpp"

namespace resilience::bindings {

struct BatcherState {
  Batcher machine{BatcherConfig{}};
  std::shared_ptr<Clock> clock = SystemClock::instance();
  std::vector<BatchLane*> lanes;  // owned references, in order of their making
  BatchLane* latest = nullptr;    // the lane used last, one of `lanes`
  bool dedupe = false;
  bool closed = false;
};

struct BatcherObject {
  PyObject_HEAD PyObject* dict;
  PyObject* weakrefs;
  PyObject* name;
  PyObject* weigher;   // null without one
  PyObject* priority;  // the context variable that `with priority(n)` sets
  BatcherState state;
};

struct BatchLane {
  PyObject_HEAD BatcherObject* batcher;
  PyObject* loop;  // borrowed, an identity: null once the loop is gone
  PyObject* keys;  // with dedupe: the waiting future of each id
  std::shared_ptr<LoopBridge> bridge;
  BatchQueue queue;
  std::uint64_t handler;
  Engine::TimerId timer;
  Nanos armed;  // when the timer will fire, kForever without one
  std::uint32_t in_flight;
  bool pass_due;  // a look at the queue is scheduled on the loop
  bool kept;      // holds itself
};

bool init_batcher(PyObject* module);
bool init_batch_lane();
bool init_batch(PyObject* module);

// The batcher's lane on `loop`, made on first use (borrowed); null with an exception set.
BatchLane* lane_on(BatcherObject* batcher, PyObject* loop);
// Puts a future into the queue, or settles it with the reason why not. False with an exception set.
bool lane_accept(BatchLane* lane, BatchFuture* future);
void lane_leave(BatchLane* lane, BatchFuture* future);
// Sends what is due. Only on the lane's own loop.
void lane_poll(BatchLane* lane);
// Has the lane's own loop look at the queue soon. From any thread with the GIL.
void lane_wake(BatchLane* lane);
// Fails all that wait.
void lane_abort(BatchLane* lane);

// A batch of what was taken (references stolen), not yet begun; null with an exception set.
PyObject* make_batch(BatchLane* lane, std::vector<BatchItem*>& items, DispatchReason reason);
// Fails a future and those that share its item, each with an exception of its own.
void settle_group_error(BatchFuture* future, PyObject* error, CallbackPass& pass);

// BatcherClosedError or BatchQueueFullError of the batcher (new reference).
PyObject* make_refusal(PyObject* type, BatcherObject* batcher);

}  // namespace resilience::bindings
