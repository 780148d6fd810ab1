// What a call under several policies holds, and which of those with a timeout run on a thread.
//
// A call with a timeout links itself into a list of its thread while it is stepped: a context variable, set
// and reset, would cost as much as the rest of the call.
//
// Needs the GIL.
#pragma once

#include <algorithm>

#include "call_frame.hpp"
#include "guard.hpp"
#include "policy_layer.hpp"
#include "resilience/deadline.hpp"

namespace resilience::bindings {

// What is being stepped.
enum class Stage : unsigned char { kWaiting, kAttempt, kSlow, kAnswer };

struct PipelineCall : CallFrame {
  PolicyLayer* layer;  // held from the first step, or since the coroutine was made, to the end
  PyObject* made;      // the function's coroutine while `inner` is a queue's; null: not made, or `inner`
  Stage stage;
  Permits permits;
  TimeoutEntry timeout;
  TimeoutEntry total;
};

// The calls with a timeout whose code runs on this thread, innermost first: remaining() asks them.
class TimedStep {
 public:
  explicit TimedStep(const PipelineCall* self) : call_(self) {
    const PolicyLayer* layer = self->layer == nullptr ? self->guard->plan.policies : self->layer;
    if (layer->timed()) {
      innermost_ = this;
    }
  }
  TimedStep(const TimedStep&) = delete;
  TimedStep& operator=(const TimedStep&) = delete;
  ~TimedStep() { innermost_ = outer_; }

  // The shortest time that one of them has left; kForever without any.
  static Nanos shortest_left() {
    Nanos shortest = kForever;
    for (const TimedStep* step = innermost_; step != nullptr; step = step->outer_) {
      shortest = std::min(shortest, left(*step->call_));
    }
    return shortest;
  }

 private:
  static Nanos left(const PipelineCall& call) {
    const PolicyLayer* layer = call.layer;
    if (layer == nullptr || call.stage == Stage::kAnswer) {
      return kForever;
    }
    const bool attempts = call.stage == Stage::kAttempt;
    return std::min(layer->total ? left(*layer->total, call.total) : kForever,
                    layer->timeout && attempts ? left(*layer->timeout, call.timeout) : kForever);
  }
  static Nanos left(const TimeoutQueue& queue, const TimeoutEntry& entry) {
    if (entry.task == nullptr) {
      return queue.length();  // its time starts when the call suspends
    }
    return entry.armed() ? remaining(entry.deadline, queue.time().now()) : 0;
  }

  const PipelineCall* call_;
  TimedStep* outer_ = innermost_;
  [[gnu::tls_model("initial-exec")]] static thread_local TimedStep* innermost_;
};

}  // namespace resilience::bindings
