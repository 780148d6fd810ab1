#include "resilience/rate_limiter.hpp"

#include <cmath>

namespace resilience {

InvalidArgument RateLimiterConfig::validate() const {
  if (auto bad = require(rate > 0.0 && std::isfinite(rate), "rate", "a finite number > 0", rate)) {
    return bad;
  }
  if (auto bad =
          require(per > 0.0 && per <= 31'536'000.0, "per", "a number of seconds in (0, 31536000]", per)) {
    return bad;
  }
  if (auto bad = require(rate / per <= 1e9 && per / rate <= 31'536'000.0, "rate",
                         "between one call a year and 1e9 calls a second", rate)) {
    return bad;
  }
  return require(burst >= 1.0 && burst * (per / rate) <= 3.2e9, "burst",
                 "a number >= 1 that the rate earns within a century", burst);
}

void RateLimiter::reconfigure(const RateLimiterConfig& config) noexcept {
  // Rounded down, so that a whole `per` always earns a whole `rate` back; the error is below 1 ns a call.
  const double interval = config.per / config.rate * static_cast<double>(kNanosPerSecond);
  interval_ = std::max<Nanos>(1, static_cast<Nanos>(interval));
  tolerance_ = static_cast<Nanos>(static_cast<double>(interval_) * config.burst);
}

Nanos RateLimiter::wait(const Bucket& bucket, Nanos now) const noexcept {
  const auto behind = static_cast<Nanos>(bucket.queue.size()) + 1;
  Nanos ahead = 0;
  if (__builtin_mul_overflow(interval_, behind, &ahead)) {
    return kForever;
  }
  const Nanos spent = saturating_add(std::max(bucket.spent_until, now), ahead);
  return std::max<Nanos>(0, spent - now - tolerance_);
}

std::optional<Ticket> RateLimiter::enqueue(Bucket& bucket, Nanos now, Nanos max_wait,
                                           std::int64_t priority) const {
  if (wait(bucket, now) > max_wait) {
    return std::nullopt;
  }
  return bucket.queue.join(priority);
}

Nanos RateLimiter::poll(Bucket& bucket, const Ticket& ticket, Nanos now) const noexcept {
  if (bucket.queue.front() != ticket) {
    return -1;
  }
  const Nanos early = take(bucket, now);
  if (early == 0) {
    bucket.queue.leave(ticket);
  }
  return early;
}

RateLimiter::Bucket& KeyedBuckets::bucket(std::string_view key, Nanos now) {
  if (const auto found = index_.find(key); found != index_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->bucket;
  }
  if (index_.size() >= max_keys_) {
    make_room(now);
  }
  entries_.push_front({std::string(key), {}});
  index_.emplace(entries_.front().key, entries_.begin());
  return entries_.front().bucket;
}

void KeyedBuckets::make_room(Nanos now) {
  constexpr int kLooked = 16;  // a bounded search: an idle bucket among the least recently used
  auto victim = entries_.end();
  auto entry = entries_.end();
  for (int looked = 0; looked < kLooked && entry != entries_.begin(); ++looked) {
    --entry;
    if (!entry->bucket.queue.empty()) {
      continue;
    }
    if (entry->bucket.spent_until <= now) {
      victim = entry;
      break;
    }
    if (victim == entries_.end()) {
      victim = entry;
    }
  }
  if (victim == entries_.end()) {
    return;  // all of those have waiters, who are themselves bounded by max_wait
  }
  index_.erase(victim->key);
  entries_.erase(victim);
}

}  // namespace resilience
