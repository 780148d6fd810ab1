// What a guarded call passes besides a circuit breaker: rate limit, bulkhead, adaptive limit and timeouts, in
// the order of a pipeline, and who takes over when something waits, fails or is to be made again.
//
// A layer is compiled once and never written again: a guard that gets other settings gets another layer, and
// calls under way keep the one they started with. Fast answers are given here; for the rest it knows the
// Python objects that own the policies: their coroutines wait, retry, hedge and fall back.
//
// Thread-safety: the GIL.
#pragma once

#include <Python.h>

#include <memory>

#include "breaker_layer.hpp"
#include "policy_handles.hpp"
#include "timeout_queue.hpp"

namespace resilience::bindings {

enum class Layer : unsigned char { kBreaker, kRate, kBulkhead, kAdaptive, kInside };

// What one attempt holds, from outermost to innermost.
struct Permits {
  Layer next = Layer::kBreaker;  // the layer to pass next
  bool breaker = false;
  bool bulkhead = false;
  bool adaptive = false;
  BreakerRun run;
  Nanos admitted = 0;  // by the adaptive limit
};

struct PolicyLayer {
  long users = 1;                // the guard that it was compiled for, and each call under way
  PyObject* attempts = nullptr;  // makes those after the first, and hedged ones; null: there are none
  bool retries = false;
  bool hedges = false;

  BreakerLayer* breaker = nullptr;       // null: none
  PyObject* breaker_owner = nullptr;     // keeps `breaker` alive
  PyObject* breaker_fallback = nullptr;  // answers the breaker's rejections; null: nothing does
  bool breaker_fallback_callable = false;

  // Machines are shared with the policies that own them; the owners (strong references) do what takes time.
  std::shared_ptr<RetryBudgetHandle> budget;
  std::shared_ptr<RateLimiterHandle> rate;
  PyObject* rate_owner = nullptr;
  PyObject* rate_key = nullptr;  // a function of the call's arguments; null: one rate for all
  bool rate_waits = false;
  std::shared_ptr<Bulkhead> bulkhead;
  PyObject* bulkhead_owner = nullptr;
  std::shared_ptr<AdaptiveLimitHandle> adaptive;
  PyObject* adaptive_owner = nullptr;
  std::shared_ptr<TimeoutQueue> timeout;
  PyObject* timeout_owner = nullptr;
  std::shared_ptr<TimeoutQueue> total;
  PyObject* total_owner = nullptr;
  PyObject* fallback_owner = nullptr;

  PolicyLayer() = default;
  PolicyLayer(const PolicyLayer&) = delete;
  PolicyLayer& operator=(const PolicyLayer&) = delete;
  ~PolicyLayer();

  // Whether a call needs its arguments for more than calling the function.
  [[nodiscard]] bool keeps_arguments() const noexcept {
    return retries || hedges || fallback_owner != nullptr || rate_key != nullptr || breaker_fallback_callable;
  }
  // The usual case of a rate limit: one rate for all, not used up.
  [[nodiscard]] bool takes_turn_at_once(const Permits& permits) const noexcept;
  [[nodiscard]] bool timed() const noexcept { return timeout || total; }
  [[nodiscard]] bool interrupts() const noexcept { return hedges || timed(); }
};

inline PolicyLayer* use(PolicyLayer* layer) noexcept {
  ++layer->users;
  return layer;
}
inline void leave(PolicyLayer* layer) {
  if (--layer->users == 0) {
    delete layer;
  }
}

int traverse_layer(const PolicyLayer& layer, visitproc visit, void* arg);

// A call's arguments, as vectorcall has them.
struct Arguments {
  PyObject* const* args;
  Py_ssize_t nargs;
  PyObject* kwnames;

  [[nodiscard]] PyObject* positional() const;  // a new tuple
  [[nodiscard]] PyObject* keywords() const;    // a new dict
};

enum class Passage : unsigned char { kInside, kRefused, kWaits };

namespace detail {
// Refuses, or leaves it to the policy's owner to wait.
Passage take_turn(PolicyLayer& layer, const Arguments& call, PyObject** key);
Passage full(PyObject* owner, bool waits);
void wake_bulkhead(PolicyLayer& layer, const Ticket& served);
void wake_adaptive(PolicyLayer& layer, const AdaptiveLimit::Woken& woken);
LimitOutcome limit_outcome(PolicyLayer& layer, PyObject* error);
void leave_adaptive(PolicyLayer& layer, Permits& permits, LimitOutcome outcome);
inline void leave_bulkhead(PolicyLayer& layer, Permits& permits) {
  if (permits.bulkhead) {
    permits.bulkhead = false;
    if (const auto served = layer.bulkhead->release()) [[unlikely]] {
      wake_bulkhead(layer, *served);
    }
  }
}
}  // namespace detail

inline bool PolicyLayer::takes_turn_at_once(const Permits& permits) const noexcept {
  if (rate_key != nullptr) {
    return false;
  }
  // The breaker has just taken a stamp: reading the counter again would be half the price of the limit.
  const Nanos now = permits.breaker && breaker->time.is_system() && rate->time.is_system()
                        ? rate->time.time_of(permits.run.started)
                        : rate->time.now();
  return rate->machine.try_acquire(rate->single, now) == 0;
}

// Passes the layers from `permits.next` on. refused: an exception is set. waits: layer `permits.next` has to
// be waited for (see wait_method), and then passed(); `key` is set when it is a keyed rate limit (new
// reference).
inline Passage enter(PolicyLayer& layer, Permits& permits, const Arguments& call, PyObject** key) {
  switch (permits.next) {
    case Layer::kBreaker:
      if (layer.breaker != nullptr) {
        if (!admit(*layer.breaker, permits.run)) {
          return Passage::kRefused;
        }
        permits.breaker = true;
      }
      [[fallthrough]];
    case Layer::kRate:
      if (layer.rate && !layer.takes_turn_at_once(permits)) [[unlikely]] {
        permits.next = Layer::kRate;
        const Passage passage = detail::take_turn(layer, call, key);
        if (passage != Passage::kInside) {
          return passage;
        }
      }
      [[fallthrough]];
    case Layer::kBulkhead:
      if (layer.bulkhead) {
        if (!layer.bulkhead->try_acquire()) [[unlikely]] {
          permits.next = Layer::kBulkhead;
          return detail::full(layer.bulkhead_owner, layer.bulkhead->max_waiting() > 0);
        }
        permits.bulkhead = true;
      }
      [[fallthrough]];
    case Layer::kAdaptive:
      if (layer.adaptive) {
        if (!layer.adaptive->machine.try_acquire()) [[unlikely]] {
          permits.next = Layer::kAdaptive;
          return detail::full(layer.adaptive_owner, layer.adaptive->machine.max_waiting() > 0);
        }
        permits.adaptive = true;
        permits.admitted = layer.adaptive->time.now();
      }
      [[fallthrough]];
    case Layer::kInside:
      break;
  }
  permits.next = Layer::kInside;
  return Passage::kInside;
}

// The layer that was waited for has been passed.
void passed(PolicyLayer& layer, Permits& permits);
// The owner of the layer to wait for.
PyObject* owner_of(const PolicyLayer& layer, Layer waited_for);

// Gives back what the attempt holds, after a result (borrowed) ...
inline void leave_with_result(PolicyLayer& layer, Permits& permits, PyObject* result) {
  if (permits.adaptive) {
    detail::leave_adaptive(layer, permits, LimitOutcome::kSuccess);
  }
  detail::leave_bulkhead(layer, permits);
  if (permits.breaker) {
    permits.breaker = false;
    settle_result(*layer.breaker, permits.run, result);
  }
}
// ... with the exception that is set now, which stays set; or without a verdict.
void leave_with_error(PolicyLayer& layer, Permits& permits);
void leave_without_verdict(PolicyLayer& layer, Permits& permits);

// The exception that is set now becomes the CallTimeoutError of `owner`, caused by it, when it is a
// cancellation.
void time_out(PyObject* owner, const TimeoutQueue& queue);

// A plain function under the layer: the same on a thread, where waiting blocks it.
PyObject* call_plain_under(PolicyLayer& layer, PyObject* function, PyObject* const* args, std::size_t nargsf,
                           PyObject* kwnames);

bool init_policy_type(PyObject* module);

}  // namespace resilience::bindings
