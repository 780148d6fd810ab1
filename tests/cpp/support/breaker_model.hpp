// The circuit breaker once more, as plainly as it can be said: what the real one is compared with.
//
// The window is a list of calls, a trial a map of leases; nothing is O(1). Without jitter.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "resilience/circuit_breaker.hpp"

namespace resilience::testing {

class BreakerModel {
 public:
  struct Permit {
    bool admitted = false;
    std::uint32_t generation = 0;
    std::uint32_t lease = 0;
    Nanos retry_after = -1;
  };

  explicit BreakerModel(const CircuitBreakerConfig& config) : config_(config) {}

  [[nodiscard]] BreakerState shown(Nanos now) const {
    return state == BreakerState::kForcedOpen && now >= until ? BreakerState::kClosed : state;
  }

  [[nodiscard]] WindowCounts window(Nanos now) const {
    WindowCounts counts;
    for (const Call& call : calls_) {
      if (inside(call, now)) {
        counts += {1, call.failed ? 1U : 0U, call.slow ? 1U : 0U, call.cancelled ? 1U : 0U};
      }
    }
    return counts;
  }

  Permit acquire(Nanos now) {
    const bool shut = state == BreakerState::kOpen || state == BreakerState::kForcedOpen;
    if (shut && now < until) {
      ++totals.rejected;
      return {.retry_after = until == kForever ? -1 : until - now};
    }
    if (shut) {
      enter(state == BreakerState::kOpen ? BreakerState::kHalfOpen : BreakerState::kClosed);
    }
    return state == BreakerState::kHalfOpen ? probe(now) : Permit{true, generation, 0, -1};
  }

  void record(const Permit& permit, Outcome outcome, Nanos duration, Nanos now) {
    if (permit.generation != generation) {
      ++totals.late;
    } else if (permit.lease != 0) {
      record_probe(permit.lease, outcome, duration, now);
    } else if (state != BreakerState::kDisabled && count(outcome, duration, now) &&
               state == BreakerState::kClosed && exceeded(outcome, now)) {
      open(now);
    }
  }

  void trip(Nanos duration, Nanos now) {
    const Nanos end = now + std::min(duration, config_.max_recovery_timeout);
    if (state == BreakerState::kOpen) {
      until = std::max(until, end);
    } else if (state == BreakerState::kClosed || state == BreakerState::kHalfOpen) {
      enter(BreakerState::kOpen);
      until = end;
    }
  }

  void force_open(Nanos ttl, Nanos now) {
    by_hand(BreakerState::kForcedOpen);
    until = ttl == kForever ? kForever : now + ttl;
  }

  void by_hand(BreakerState to) {
    if (state != to || to == BreakerState::kClosed) {
      enter(to);
    }
  }

  BreakerState state = BreakerState::kClosed;
  std::uint32_t generation = 0;
  std::uint32_t consecutive = 0;
  Nanos until = -1;
  BreakerTotals totals;

 private:
  struct Call {
    Nanos slot;
    bool failed;
    bool slow;
    bool cancelled;
  };

  [[nodiscard]] Nanos slot_of(Nanos now) const {
    return (now - origin_) / (config_.monitor_window / static_cast<Nanos>(TimeWindow::kBuckets));
  }
  [[nodiscard]] bool inside(const Call& call, Nanos now) const {
    return config_.window_calls != 0 || slot_of(now) - call.slot < static_cast<Nanos>(TimeWindow::kBuckets);
  }

  void enter(BreakerState to) {
    state = to;
    ++generation;
    if (to == BreakerState::kHalfOpen) {
      leases_.clear();
      admitted_ = good_ = bad_ = 0;
    } else if (to == BreakerState::kClosed) {
      calls_.clear();
      reopenings_ = consecutive = 0;
    }
  }

  void open(Nanos now) {
    const double length =
        static_cast<double>(config_.recovery_timeout) * std::pow(config_.recovery_backoff, reopenings_);
    ++reopenings_;
    enter(BreakerState::kOpen);
    until = now + std::min(static_cast<Nanos>(length), config_.max_recovery_timeout);
  }

  void expire(Nanos now) {
    admitted_ -= static_cast<std::uint32_t>(
        std::erase_if(leases_, [now](const auto& each) { return each.second <= now; }));
  }

  Permit probe(Nanos now) {
    expire(now);
    if (leases_.size() >= config_.half_open_concurrency || admitted_ >= config_.half_open_requests) {
      ++totals.rejected;
      Nanos first = kForever;
      for (const auto& [lease, end] : leases_) {
        first = std::min(first, end);
      }
      return {.retry_after = first - now};
    }
    ++admitted_;
    leases_[++last_lease_] = now + config_.probe_timeout;
    return {true, generation, last_lease_, -1};
  }

  void record_probe(std::uint32_t lease, Outcome outcome, Nanos duration, Nanos now) {
    expire(now);
    if (leases_.erase(lease) == 0) {
      ++totals.late;
      return;
    }
    count(outcome, duration, now);
    const bool too_slow = config_.slow_call_rate_threshold && slow(outcome, duration);
    if (outcome == Outcome::kSuccess && !too_slow) {
      ++good_;
    } else if (outcome == Outcome::kSuccess || outcome == Outcome::kFailure) {
      ++bad_;
    } else {
      --admitted_;
    }
    if (good_ >= config_.success_threshold) {
      enter(BreakerState::kClosed);
    } else if (bad_ > config_.half_open_requests - config_.success_threshold) {
      open(now);
    }
  }

  [[nodiscard]] bool slow(Outcome outcome, Nanos duration) const {
    return outcome != Outcome::kIgnored && config_.slow_call_duration &&
           duration >= *config_.slow_call_duration;
  }

  // True when the outcome is in the window.
  bool count(Outcome outcome, Nanos duration, Nanos now) {
    const bool is_slow = slow(outcome, duration);
    const bool failed = outcome == Outcome::kFailure;
    totals.slow += is_slow ? 1 : 0;
    totals.successes += outcome == Outcome::kSuccess ? 1 : 0;
    totals.failures += failed ? 1 : 0;
    totals.ignored += outcome == Outcome::kIgnored ? 1 : 0;
    totals.cancelled += outcome == Outcome::kCancelled ? 1 : 0;
    consecutive = failed ? consecutive + 1 : outcome == Outcome::kSuccess ? 0 : consecutive;
    if (outcome == Outcome::kIgnored || (outcome == Outcome::kCancelled && !is_slow)) {
      return false;
    }
    std::erase_if(calls_, [this, now](const Call& call) { return !inside(call, now); });
    origin_ = calls_.empty() ? now : origin_;
    calls_.push_back({slot_of(now), failed, is_slow, outcome == Outcome::kCancelled});
    if (config_.window_calls != 0 && calls_.size() > config_.window_calls) {
      calls_.erase(calls_.begin());
    }
    return true;
  }

  [[nodiscard]] bool exceeded(Outcome outcome, Nanos now) const {
    if (outcome == Outcome::kFailure && config_.failure_threshold != 0 &&
        consecutive >= config_.failure_threshold) {
      return true;
    }
    const WindowCounts counts = window(now);
    const auto reaches = [&counts](std::uint32_t part, const std::optional<double>& threshold) {
      return threshold && static_cast<double>(part) / static_cast<double>(counts.calls) >= *threshold;
    };
    return counts.calls >= config_.minimum_calls &&
           (reaches(counts.failures, config_.failure_rate_threshold) ||
            reaches(counts.slow, config_.slow_call_rate_threshold));
  }

  CircuitBreakerConfig config_;
  std::vector<Call> calls_;
  Nanos origin_ = 0;
  std::map<std::uint32_t, Nanos> leases_;
  std::uint32_t last_lease_ = 0;
  std::uint32_t admitted_ = 0;
  std::uint32_t good_ = 0;
  std::uint32_t bad_ = 0;
  std::uint32_t reopenings_ = 0;
};

}  // namespace resilience::testing
