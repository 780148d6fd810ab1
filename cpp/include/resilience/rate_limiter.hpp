// At most `rate` calls every `per` seconds, with bursts of up to `burst`.
//
// GCRA, the generic cell rate algorithm (ITU-T I.371; Brandur Leach, "Rate Limiting, Cells, and GCRA"): one
// instant a bucket, the theoretical arrival time up to which past calls have used up the rate. It gives the
// exact wait for the next call and needs no refilling. A bucket whose instant has passed is as good as new,
// so idle keys are forgotten without loss.
//
// Waiting callers queue and take their turn when it comes, instead of reserving it in advance: one that
// gives up moves everybody behind it forward and leaves no hole.
//
// Thread-safety: none; callers serialise. Complexity: O(1) an admission; O(log waiting) with a queue.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/wait_queue.hpp"

namespace resilience {

struct RateLimiterConfig {
  double rate = 1.0;   // calls
  double per = 1.0;    // seconds
  double burst = 1.0;  // calls that may come at once

  [[nodiscard]] InvalidArgument validate() const;
};

class RateLimiter {
 public:
  struct Bucket {
    Nanos spent_until = INT64_MIN;  // the theoretical arrival time
    WaitQueue queue;
  };

  // REQUIRES: config.validate().ok().
  explicit RateLimiter(const RateLimiterConfig& config) noexcept { reconfigure(config); }
  // Keeps what has been used. REQUIRES: config.validate().ok().
  void reconfigure(const RateLimiterConfig& config) noexcept;

  // 0: admitted. Otherwise how long the next call would have to wait, and nothing was taken.
  [[nodiscard]] Nanos try_acquire(Bucket& bucket, Nanos now) const noexcept {
    if (!bucket.queue.empty()) {
      return std::max<Nanos>(1, wait(bucket, now));
    }
    return take(bucket, now);
  }
  // How long the last in the queue and one more behind it would wait.
  [[nodiscard]] Nanos wait(const Bucket& bucket, Nanos now) const noexcept;

  // A place in the queue when it is expected to come up within `max_wait`, else nothing.
  [[nodiscard]] std::optional<Ticket> enqueue(Bucket& bucket, Nanos now, Nanos max_wait,
                                              std::int64_t priority) const;
  // Asked by a waiter: 0, admitted and off the queue; > 0, look again after so long; -1, somebody is in
  // front, so wait to be woken.
  [[nodiscard]] Nanos poll(Bucket& bucket, const Ticket& ticket, Nanos now) const noexcept;

 private:
  [[nodiscard]] Nanos take(Bucket& bucket, Nanos now) const noexcept {
    const Nanos spent = std::max(bucket.spent_until, now) + interval_;
    const Nanos early = spent - now - tolerance_;
    if (early > 0) {
      return early;
    }
    bucket.spent_until = spent;
    return 0;
  }

  Nanos interval_ = 0;   // between calls at the steady rate
  Nanos tolerance_ = 0;  // interval * burst
};

// One bucket a key, at most `max_keys` of them. To make room the least recently used idle bucket goes, else
// the least recently used without waiters: a flood of new keys costs memory no further, at worst it makes
// an old key's debt forgotten.
class KeyedBuckets {
 public:
  // REQUIRES: max_keys >= 1.
  explicit KeyedBuckets(std::size_t max_keys) noexcept : max_keys_(max_keys) {}

  // The bucket stays where it is while it has waiters, otherwise until the next call of this.
  [[nodiscard]] RateLimiter::Bucket& bucket(std::string_view key, Nanos now);
  [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }

 private:
  struct Entry {
    std::string key;
    RateLimiter::Bucket bucket;
  };

  void make_room(Nanos now);

  std::size_t max_keys_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> index_;
};

}  // namespace resilience
