// Expiry while nobody uses a cache: one timer a cache, at the time when the first entry is due.
//
// A manual clock's timers run on the thread that advances it, which holds the GIL: they expire at once. The
// engine's thread never touches Python: it asks the interpreter to run a slice on its main thread
// (Py_AddPendingCall), which comes back while there is more to do.
#include <algorithm>
#include <atomic>

#include "cache_object.hpp"
#include "py_ref.hpp"
#include "resilience/engine.hpp"

namespace resilience::bindings {

namespace {

constexpr Nanos kShortestSleep = kNanosPerSecond / 4;  // an idle cache is swept at most this often
constexpr Nanos kBetweenSlices = 2 * kNanosPerMilli;
constexpr std::size_t kSlice = 512;

}  // namespace

struct ExpiryTimer : std::enable_shared_from_this<ExpiryTimer> {
  CacheObject* owner = nullptr;  // null once the cache is gone
  bool armed = false;
  Nanos due = kForever;
  std::uint64_t id = 0;
  std::uint64_t generation = 0;  // of the engine: after a fork its timers are gone

  void set(Clock& clock, Nanos deadline) {
    armed = true;
    due = deadline;
    generation = Engine::instance().generation();
    const bool manual = clock.manual() != nullptr;
    id = Engine::instance().schedule(clock, deadline, [self = shared_from_this(), manual] {
      manual ? self->fire_manually() : self->ask();
    });
  }

  void cancel(Clock& clock) {
    if (armed) {
      armed = false;
      Engine::instance().cancel(clock, id);
    }
  }

  void fire_manually() {
    armed = false;
    if (owner != nullptr) {
      const PyRef alive = PyRef::share(reinterpret_cast<PyObject*>(owner));
      expire_all(*owner);
      arm_expiry(*owner);
    }
  }

  // On the engine's thread, without the GIL: nothing here may be touched.
  void ask() {
    auto* self = new std::shared_ptr<ExpiryTimer>(shared_from_this());
    if (Py_AddPendingCall(answer, self) !=
        0) {  // the interpreter's queue is full: the cache's next use arms again
      delete self;
      missed.store(true, std::memory_order_relaxed);
    }
  }

  static int answer(void* argument) {
    const std::unique_ptr<std::shared_ptr<ExpiryTimer>> self(
        static_cast<std::shared_ptr<ExpiryTimer>*>(argument));
    (*self)->sweep();
    return 0;
  }

  void sweep() {
    armed = false;
    if (owner == nullptr) {
      return;
    }
    const PyRef alive = PyRef::share(reinterpret_cast<PyObject*>(owner));
    const Nanos now = owner->clock->now();
    Evictions left;
    const bool done = owner->cache->expire(now, kSlice, false, left);
    deliver(*owner, left, nullptr);
    if (owner != nullptr && owner->cache->timed() && !armed) {
      const Nanos next = saturating_add(now, done ? kShortestSleep : kBetweenSlices);
      set(*owner->clock, done ? std::max(owner->cache->wheel_due(), next) : next);
    }
  }

  std::atomic<bool> missed{false};
};

void arm_expiry(CacheObject& self) {
  if (!self.cache->timed()) {
    return;
  }
  ExpiryTimer& timer = *self.shared->timer;
  if (self.clock->manual() != nullptr) {
    const Nanos first = self.cache->first_deadline();
    if (!timer.armed || first < timer.due) {
      timer.cancel(*self.clock);
      timer.set(*self.clock, first);
    }
    return;
  }
  const bool lost = timer.armed && (timer.generation != Engine::instance().generation() ||
                                    timer.missed.exchange(false, std::memory_order_relaxed));
  if (!timer.armed || lost) {
    timer.set(*self.clock,
              std::max(self.cache->wheel_due(), saturating_add(self.clock->now(), kShortestSleep)));
  }
}

void disarm_expiry(CacheObject& self) {
  if (self.shared->timer != nullptr) {
    self.shared->timer->owner = nullptr;
    self.shared->timer->cancel(*self.clock);
  }
  self.shared->timer = std::make_shared<ExpiryTimer>();
  self.shared->timer->owner = &self;
}

}  // namespace resilience::bindings
