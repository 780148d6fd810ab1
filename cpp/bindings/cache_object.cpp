#include "cache_object.hpp"

#include <cstring>

#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

constexpr std::size_t kSlice = 16;        // entries looked at on the side of another operation
constexpr std::size_t kLargeSlice = 256;  // and in a call that has nothing else to do

PyObject* as_object(CacheHandle handle) { return reinterpret_cast<PyObject*>(handle); }
CacheHandle as_handle(PyObject* object) { return reinterpret_cast<CacheHandle>(object); }

bool equal_text(PyObject* one, PyObject* other) {
  const Py_ssize_t length = PyUnicode_GET_LENGTH(one);
  return length == PyUnicode_GET_LENGTH(other) && PyUnicode_KIND(one) == PyUnicode_KIND(other) &&
         std::memcmp(PyUnicode_DATA(one), PyUnicode_DATA(other),
                     static_cast<std::size_t>(length) * PyUnicode_KIND(one)) == 0;
}

bool is_ready_text(PyObject* object) { return PyUnicode_CheckExact(object) && PyUnicode_IS_READY(object); }

// The weight of an entry; false with an exception set.
bool weigh(CacheObject& self, PyObject* key, PyObject* value, std::uint64_t& weight) {
  weight = 1;
  if (!self.cache->weighted()) {
    return true;
  }
  PyObject* const args[] = {key, value};
  const PyRef result(PyObject_Vectorcall(self.weigher, args, 2, nullptr));
  if (!result) {
    return false;
  }
  const long long given = PyLong_Check(result.get()) ? PyLong_AsLongLong(result.get()) : -1;
  if (given < 0) {
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "weigher must return an integer >= 0, got %R", result.get());
    return false;
  }
  weight = static_cast<std::uint64_t>(given);
  return true;
}

void tell(CacheObject& self, PyObject* key, PyObject* value, EvictionCause cause) {
  const auto name = to_string(cause);
  const PyRef text(PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
  PyObject* const args[] = {key, value, text.get()};
  const PyRef listener = PyRef::share(self.on_evict);
  const PyRef result(text ? PyObject_Vectorcall(listener.get(), args, 3, nullptr) : nullptr);
  if (!result) {
    PyErr_WriteUnraisable(listener.get());
  }
}

}  // namespace

Same same_key(PyObject* known, PyObject* key) {
  if (known == key) {
    return Same::kYes;
  }
  if (is_ready_text(known) && is_ready_text(key)) {
    return equal_text(known, key) ? Same::kYes : Same::kNo;
  }
  const PyRef held = PyRef::share(known);
  return static_cast<Same>(PyObject_RichCompareBool(known, key, Py_EQ));
}

void deliver(CacheObject& self, const Evictions& left, PyObject* key) {
  if (left.empty()) {
    return;
  }
  const SavedError saved;
  for (std::size_t at = 0; at < left.size(); ++at) {
    const Evicted& gone = left[at];
    const PyRef gone_key(as_object(gone.key));
    const PyRef gone_value(as_object(gone.value));
    if (self.on_evict != nullptr) {
      tell(self, gone_key ? gone_key.get() : key, gone_value.get(), gone.cause);
    }
  }
}

void expire_some(CacheObject& self, Nanos now) {
  Evictions left;
  (void)self.cache->expire(now, kSlice, false, left);
  deliver(self, left, nullptr);
}

void expire_all(CacheObject& self) {
  for (bool done = !self.cache->timed(); !done;) {
    Evictions left;
    const std::size_t before = self.cache->size();
    done = self.cache->expire(self.clock->coarse_now(), kLargeSlice, true, left);
    done = done || (left.empty() && before == self.cache->size());
    deliver(self, left, nullptr);
  }
}

Stored store(CacheObject& self, PyObject* key, Py_hash_t hash, PyObject* value, std::optional<Nanos> ttl,
             std::span<const std::uint64_t> tags) {
  Cache::Terms terms{1, ttl, tags};
  if (!weigh(self, key, value, terms.weight)) {
    return Stored::kError;
  }
  Cache& cache = *self.cache;
  const std::uint32_t mixed = cache.mix(static_cast<std::uint64_t>(hash));
  Slot slot = kNoSlot;
  if (!find_slot(cache, mixed, [key](PyObject* known) { return same_key(known, key); }, slot)) {
    return Stored::kError;
  }
  const Nanos now = self.clock->coarse_now();
  Evictions left;
  Py_INCREF(value);
  bool taken = false;
  if (slot == kNoSlot) {
    Py_INCREF(key);
    taken = cache.insert(mixed, as_handle(key), as_handle(value), terms, now, left);
    if (!taken) {
      Py_DECREF(key);
    }
  } else {
    taken = cache.replace(slot, as_handle(value), terms, now, left);
  }
  cache.tokens().invalidate_key(static_cast<std::uint64_t>(hash));  // a load that began before is older
  if (!taken) {
    Py_DECREF(value);
  }
  arm_expiry(self);
  deliver(self, left, key);
  expire_if_due(self, now);
  return taken ? Stored::kYes : Stored::kRefused;
}

}  // namespace resilience::bindings
