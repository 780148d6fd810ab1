// What a cache is asked for seldom, attached to its hand-written type; the hot methods are in cache_type.cpp.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "cache_object.hpp"
#include "cached_function.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

CacheObject& object_of(const py::handle& self) {
  CacheObject& object = *as_cache(self.ptr());
  if (object.cache == nullptr) {
    throw py::value_error("the cache was not initialised: call super().__init__() first");
  }
  return object;
}

Py_hash_t checked_hash(const py::handle& key) {
  const Py_hash_t hash = hash_of(key.ptr());
  if (hash == -1) {
    throw py::error_already_set();
  }
  return hash;
}

std::vector<std::uint64_t> hash_tags(const py::iterable& tags) {
  if (PyUnicode_Check(tags.ptr()) || PyBytes_Check(tags.ptr())) {
    throw py::type_error("tags must be an iterable of tags, got the string " +
                         std::string(py::str(py::repr(tags))));
  }
  std::vector<std::uint64_t> hashes;
  for (const py::handle tag : tags) {
    hashes.push_back(static_cast<std::uint64_t>(checked_hash(tag)));
  }
  return hashes;
}

// None is the cache's own time to live.
std::optional<Nanos> life(std::optional<double> ttl) {
  if (!ttl) {
    return std::nullopt;
  }
  if (!(*ttl > 0.0)) {
    throw py::value_error(require(false, "ttl", "a number of seconds > 0, or None", *ttl).message());
  }
  return std::max<Nanos>(nanos_from_seconds(*ttl), 1);
}

Nanos duration(std::optional<double> seconds, const char* argument) {
  if (seconds && !(*seconds > 0.0)) {
    throw py::value_error(require(false, argument, "a number of seconds > 0, or None", *seconds).message());
  }
  return seconds ? std::max<Nanos>(nanos_from_seconds(*seconds), 1) : kForever;
}

std::uint64_t bytes_bound(std::optional<long long> max_bytes) {
  if (max_bytes && *max_bytes < 1) {
    throw py::value_error(
        require(false, "max_bytes", "an integer >= 1, or None", static_cast<double>(*max_bytes)).message());
  }
  return max_bytes ? static_cast<std::uint64_t>(*max_bytes) : UINT64_MAX;
}

std::size_t entries_bound(long long max_entries) {
  if (max_entries < 1 || std::cmp_greater(max_entries, CacheConfig::kMostEntries)) {
    throw py::value_error(
        require(false, "max_entries", "an integer from 1 to 2**30", static_cast<double>(max_entries))
            .message());
  }
  return static_cast<std::size_t>(max_entries);
}

void configure(const py::object& self, long long max_entries, std::optional<double> ttl,
               std::optional<long long> max_bytes, const py::object& weigher, std::optional<double> sliding,
               const std::string& policy, const py::object& on_evict,
               std::optional<std::shared_ptr<Clock>> clock) {
  static std::mt19937_64 seeds{std::random_device{}()};
  CacheConfig config;
  config.max_entries = entries_bound(max_entries);
  config.max_weight = bytes_bound(max_bytes);
  config.ttl = duration(ttl, "ttl");
  config.sliding = duration(sliding, "sliding");
  config.seed = seeds();
  const auto kind = cache_policy_from_string(policy);
  if (!kind) {
    throw py::value_error(R"(policy must be "adaptive", "lru", "s3fifo" or "w_tinylfu", got ")" + policy +
                          "\"");
  }
  config.policy = *kind;
  CacheObject& object = *as_cache(self.ptr());
  if (object.cache != nullptr) {
    throw py::value_error("the cache is initialised already");
  }
  object.cache = new Cache(config);
  object.shared->clock = std::move(clock).value_or(SystemClock::instance());
  object.clock = object.shared->clock.get();
  object.on_evict = on_evict.is_none() ? nullptr : Py_NewRef(on_evict.ptr());
  object.weigher = Py_NewRef(weigher.ptr());
  disarm_expiry(object);
}

bool set(const py::object& self, const py::object& key, const py::object& value, std::optional<double> ttl,
         const py::iterable& tags) {
  CacheObject& object = object_of(self);
  const Stored stored = store(object, key.ptr(), checked_hash(key), value.ptr(), life(ttl), hash_tags(tags));
  if (stored == Stored::kError) {
    throw py::error_already_set();
  }
  return stored == Stored::kYes;
}

// The value and whether it is fresh, and how many seconds ago it ceased to be; None when it isn't kept.
py::object entry(const py::object& self, const py::object& key) {
  const CacheObject& object = object_of(self);
  const std::uint32_t mixed = object.cache->mix(static_cast<std::uint64_t>(checked_hash(key)));
  Slot slot = kNoSlot;
  if (!find_slot(*object.cache, mixed, [&](PyObject* known) { return same_key(known, key.ptr()); }, slot)) {
    throw py::error_already_set();
  }
  const Nanos now = expiry_now(object);
  if (slot == kNoSlot || !object.cache->kept(slot, now)) {
    return py::none();
  }
  const Nanos expires = object.cache->expires_at(slot);
  const double left = expires == kForever ? static_cast<double>(INFINITY) : seconds_from_nanos(expires - now);
  return py::make_tuple(
      py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(object.cache->value(slot))), left);
}

bool touch(const py::object& self, const py::object& key, std::optional<double> ttl) {
  CacheObject& object = object_of(self);
  const std::uint32_t mixed = object.cache->mix(static_cast<std::uint64_t>(checked_hash(key)));
  const Nanos given = life(ttl).value_or(object.cache->config().ttl);
  Slot slot = kNoSlot;
  if (!find_slot(*object.cache, mixed, [&](PyObject* known) { return same_key(known, key.ptr()); }, slot)) {
    throw py::error_already_set();
  }
  const Nanos now = object.clock->coarse_now();
  if (slot == kNoSlot || !object.cache->fresh(slot, now)) {
    return false;
  }
  object.cache->set_ttl(slot, given, now);
  object.cache->used(slot, now);
  arm_expiry(object);
  return true;
}

std::size_t invalidate_tags(const py::object& self, const py::args& tags) {
  CacheObject& object = object_of(self);
  const std::vector<std::uint64_t> hashes = hash_tags(tags);
  std::size_t removed = 0;
  for (const std::uint64_t tag : hashes) {
    object.cache->tokens().invalidate_tag(tag);
    Evictions left;
    while (object.cache->erase_tagged(tag, left)) {
      ++removed;
    }
    deliver(object, left, nullptr);
  }
  return removed;
}

void resize(const py::object& self, std::optional<long long> max_entries,
            std::optional<long long> max_bytes) {
  CacheObject& object = object_of(self);
  const CacheConfig& config = object.cache->config();
  const std::size_t entries = max_entries ? entries_bound(*max_entries) : config.max_entries;
  const std::uint64_t weight = max_bytes ? bytes_bound(max_bytes) : config.max_weight;
  if (max_bytes && !object.cache->weighted()) {
    throw py::value_error("max_bytes can be changed only where the cache was made with it");
  }
  Evictions left;
  object.cache->resize(entries, weight, left);
  deliver(object, left, nullptr);
}

py::dict counters(const py::object& self) {
  CacheObject& object = object_of(self);
  expire_all(object);
  const Cache& cache = *object.cache;
  py::dict evictions;
  for (std::size_t cause = 0; cause < kEvictionCauses; ++cause) {
    evictions[py::str(std::string(to_string(static_cast<EvictionCause>(cause))))] =
        cache.stats().evictions[cause];
  }
  py::dict counted;
  counted["size"] = cache.size();
  counted["max_size"] = cache.config().max_entries;
  counted["hits"] = cache.stats().hits;
  counted["misses"] = cache.stats().misses;
  counted["evictions"] = evictions;
  counted["bytes"] = cache.weighted() ? py::object(py::int_(cache.weight())) : py::object(py::none());
  counted["overhead_bytes"] = cache.memory_bytes();
  return counted;
}

bool token_valid(const py::object& self, std::uint64_t token, const py::object& key,
                 const py::iterable& tags) {
  const auto hash = static_cast<std::uint64_t>(checked_hash(key));
  return object_of(self).cache->tokens().valid(token, hash, hash_tags(tags));
}

// What people call tells its signature in the form that `inspect` reads, in place of pybind11's own.
void define_public(const auto& define) {
  py::options options;
  options.disable_function_signatures();
  define("set", set, py::arg("key"), py::arg("value"), py::arg("ttl") = py::none(),
         py::arg("tags") = py::tuple(),
         "set(self, key, value, ttl=None, tags=())\n--\n\n"
         "Store `value` for `ttl` seconds (the cache's own when None), under an iterable of tags. False when "
         "it is "
         "heavier than the bound.");
  define("touch", touch, py::arg("key"), py::arg("ttl") = py::none(),
         "touch(self, key, ttl=None)\n--\n\n"
         "Start the life of a fresh entry anew, with `ttl` seconds (the cache's own when None).");
  define("invalidate_tags", invalidate_tags,
         "invalidate_tags(self, *tags)\n--\n\n"
         "Remove every entry that carries one of the tags; returns how many there were.");
}

}  // namespace

void register_cache(py::module_& module) {
  PyObject* raw = module.ptr();
  if (!init_cache_type(raw) || !init_call_key(raw) || !init_cached_function(raw) || !init_cached_call(raw)) {
    throw py::error_already_set();
  }
  const py::handle type(reinterpret_cast<PyObject*>(cache_type()));
  const auto define = [&](const char* name, auto function, const auto&... extra) {
    py::setattr(type, name, py::cpp_function(function, py::name(name), py::is_method(type), extra...));
  };
  define("_configure", configure);
  define_public(define);
  define("resize", resize, py::arg("max_entries") = py::none(), py::arg("max_bytes") = py::none(),
         "Change the bounds; what no longer fits leaves at once.");
  define("_counters", counters);
  define("_entry", entry);
  define("_count", [](const py::object& self, bool hit) {
    Cache& cache = *object_of(self).cache;
    hit ? cache.count_hit() : cache.miss();
  });
  define("_begin_load", [](const py::object& self) { return object_of(self).cache->tokens().begin(); });
  define("_end_load",
         [](const py::object& self, std::uint64_t token) { object_of(self).cache->tokens().end(token); });
  define("_token_valid", token_valid);
  define("_extend_grace", [](const py::object& self, double seconds) {
    object_of(self).cache->extend_grace(nanos_from_seconds(seconds));
  });
  define("_now", [](const py::object& self) { return seconds_from_nanos(object_of(self).clock->now()); });
}

}  // namespace resilience::bindings
