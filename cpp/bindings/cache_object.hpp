// The native half of a Python cache: what its own methods and the cached functions do with it.
//
// Under the interpreter lock no other lock is needed. The core is only ever changed between two points at
// which Python code may run: keys are compared before, callbacks run and references drop after. So __eq__,
// __hash__,
// __del__, on_evict and the garbage collector may use the same cache. All of this needs the GIL.
#pragma once

#include <Python.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "resilience/cache.hpp"
#include "resilience/clock.hpp"

namespace resilience::bindings {

struct ExpiryTimer;

struct CacheObject {
  PyObject_HEAD Cache* cache;  // null until configured
  Clock* clock;                // owned by `shared`
  PyObject* on_evict;          // never raises; null when nobody listens
  PyObject* weigher;           // of key and value; null when weights aren't counted
  PyObject* weakrefs;
  struct Shared {  // what needs construction and destruction
    std::shared_ptr<Clock> clock;
    std::shared_ptr<ExpiryTimer> timer;
  }* shared;
};

inline CacheObject* as_cache(PyObject* self) { return reinterpret_cast<CacheObject*>(self); }

bool init_cache_type(PyObject* module);
PyTypeObject* cache_type();

// How a stored key relates to the one looked for.
enum class Same : signed char { kError = -1, kNo = 0, kYes = 1 };

// Compares as a dict does: by identity, then by ==. Strings never run foreign code. `known` is kept alive.
Same same_key(PyObject* known, PyObject* key);

// Finds the slot of a key by its mixed hash. `compare(known)` may run Python code; when that changed the
// cache, the walk starts again. False with an exception set.
template <typename Compare>
bool find_slot(const Cache& cache, std::uint32_t mixed, Compare&& compare, Slot& slot) {
  std::size_t position = cache.index().probe_start(mixed);
  for (;;) {
    slot = cache.index().probe_next(mixed, position);
    if (slot == kNoSlot) {
      return true;
    }
    const std::uint64_t version = cache.version();
    const Same same = compare(reinterpret_cast<PyObject*>(cache.key(slot)));
    if (same == Same::kError) {
      return false;
    }
    if (cache.version() != version) {
      position = cache.index().probe_start(mixed);
    } else if (same == Same::kYes) {
      return true;
    }
  }
}

inline Py_hash_t hash_of(PyObject* key) {
  if (PyUnicode_CheckExact(key)) {
    const Py_hash_t known = reinterpret_cast<PyASCIIObject*>(key)->hash;
    if (known != -1) [[likely]] {
      return known;
    }
  }
  return PyObject_Hash(key);
}

// The time that expiry goes by; not read while nothing can expire.
inline Nanos expiry_now(const CacheObject& self) {
  return self.cache->timed() ? self.clock->coarse_now() : 0;
}

// Removes some of what has expired; called by every operation, at next to no cost when nothing is due.
void expire_some(CacheObject& self, Nanos now);
inline void expire_if_due(CacheObject& self, Nanos now) {
  if (self.cache->expiry_due(now)) [[unlikely]] {
    expire_some(self, now);
  }
}
// Removes all that has expired.
void expire_all(CacheObject& self);

enum class Stored : signed char { kError = -1, kRefused = 0, kYes = 1 };

// Puts a value in, over the old one if there is one; refused when it is heavier than the bound.
Stored store(CacheObject& self, PyObject* key, Py_hash_t hash, PyObject* value, std::optional<Nanos> ttl,
             std::span<const std::uint64_t> tags);

// Hands what left the cache to on_evict, and drops it. `key` belongs to values that were replaced. Keeps a
// pending exception.
void deliver(CacheObject& self, const Evictions& left, PyObject* key);

// Sees to it that expiry goes on while nobody uses the cache. Called after each insertion.
void arm_expiry(CacheObject& self);
// The cache goes away, or starts anew.
void disarm_expiry(CacheObject& self);

}  // namespace resilience::bindings
