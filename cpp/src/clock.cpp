#include "resilience/clock.hpp"

#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>

#include "resilience/tick_clock.hpp"

namespace resilience {

Nanos nanos_from_seconds(double seconds) noexcept {
  if (std::isnan(seconds)) {
    return 0;
  }
  const double nanos = seconds * static_cast<double>(kNanosPerSecond);
  constexpr double limit = 9.2e18;  // just inside the range of int64
  if (nanos >= limit) {
    return kForever;
  }
  if (nanos <= -limit) {
    return std::numeric_limits<Nanos>::min();
  }
  return static_cast<Nanos>(std::llround(nanos));
}

namespace {

Nanos read(clockid_t id) noexcept {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<Nanos>(t.tv_sec) * kNanosPerSecond + static_cast<Nanos>(t.tv_nsec);
}

}  // namespace

Nanos SystemClock::now() const noexcept { return TickClock::now(); }

Nanos SystemClock::coarse_now() const noexcept {
#ifdef CLOCK_MONOTONIC_COARSE
  return read(CLOCK_MONOTONIC_COARSE);
#else
  return read(CLOCK_MONOTONIC);
#endif
}

double SystemClock::unix_time() const noexcept { return seconds_from_nanos(read(CLOCK_REALTIME)); }

const std::shared_ptr<SystemClock>& SystemClock::instance() {
  static const auto clock = std::make_shared<SystemClock>();
  return clock;
}

double ManualClock::unix_time() const noexcept { return unix_start_ + seconds_from_nanos(now() - start_); }

void ManualClock::advance(Nanos duration) {
  const Nanos target = saturating_add(now(), duration);
  for (;;) {
    std::function<void()> due;
    {
      const std::lock_guard lock(mutex_);
      const auto first = timers_.begin();
      if (first == timers_.end() || first->first.first > target) {
        break;
      }
      if (first->first.first > now()) {
        now_.store(first->first.first, std::memory_order_release);
      }
      due = std::move(first->second);
      deadlines_.erase(first->first.second);
      timers_.erase(first);
    }
    due();  // outside the lock: it may set or cancel timers
  }
  if (target > now()) {
    now_.store(target, std::memory_order_release);
  }
}

ManualClock::TimerId ManualClock::schedule(Nanos deadline, std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  const TimerId id = next_id_++;
  timers_.emplace(std::pair{deadline, id}, std::move(callback));
  deadlines_.emplace(id, deadline);
  return id;
}

bool ManualClock::cancel(TimerId id) {
  std::function<void()> dropped;  // declared before the lock, so it dies after it: it may own anything
  const std::lock_guard lock(mutex_);
  const auto found = deadlines_.find(id);
  if (found == deadlines_.end()) {
    return false;
  }
  const auto timer = timers_.find({found->second, id});
  dropped = std::move(timer->second);
  timers_.erase(timer);
  deadlines_.erase(found);
  return true;
}

std::size_t ManualClock::pending() const {
  const std::lock_guard lock(mutex_);
  return timers_.size();
}

}  // namespace resilience
