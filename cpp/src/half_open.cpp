#include "resilience/half_open.hpp"

#include <algorithm>

namespace resilience {

void HalfOpenTrial::expire(Nanos now) {
  const auto expired =
      std::ranges::partition_point(in_flight_, [now](const Lease& lease) { return lease.expires <= now; });
  admitted_ -= static_cast<std::uint32_t>(expired - in_flight_.begin());
  in_flight_.erase(in_flight_.begin(), expired);
}

std::uint32_t HalfOpenTrial::admit(Nanos now) {
  expire(now);
  if (in_flight_.size() >= concurrency_ || admitted_ >= requests_) {
    return 0;
  }
  const std::uint32_t id = next_id_;
  next_id_ = next_id_ == UINT32_MAX ? 1 : next_id_ + 1;
  in_flight_.push_back({id, saturating_add(now, lease_)});
  ++admitted_;
  return id;
}

bool HalfOpenTrial::take(std::uint32_t lease) {
  const auto found =
      std::ranges::find_if(in_flight_, [lease](const Lease& held) { return held.id == lease; });
  if (found == in_flight_.end()) {
    return false;
  }
  in_flight_.erase(found);
  return true;
}

bool HalfOpenTrial::settle(std::uint32_t lease, bool success) {
  if (!take(lease)) {
    return false;
  }
  ++(success ? successes_ : failures_);
  return true;
}

bool HalfOpenTrial::release(std::uint32_t lease) {
  if (!take(lease)) {
    return false;
  }
  --admitted_;
  return true;
}

Verdict HalfOpenTrial::verdict() const noexcept {
  if (successes_ >= needed_) {
    return Verdict::kClose;
  }
  return failures_ > requests_ - needed_ ? Verdict::kReopen : Verdict::kUndecided;
}

Nanos HalfOpenTrial::next_place_in(Nanos now) const noexcept {
  if (in_flight_.empty() || (in_flight_.size() < concurrency_ && admitted_ < requests_)) {
    return 0;
  }
  return std::max<Nanos>(in_flight_.front().expires - now, 0);
}

}  // namespace resilience
