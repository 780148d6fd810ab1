#include "resilience/window.hpp"

#include <algorithm>
#include <utility>

namespace resilience {

WindowCounts TimeWindow::bucket(std::size_t index) const noexcept {
  if (wide_ != nullptr) {
    return (*wide_)[index];
  }
  const Narrow& narrow = narrow_[index];
  return {narrow.calls, narrow.failures, narrow.slow, narrow.cancelled};
}

TimeWindow::Wide& TimeWindow::widen() noexcept {
  if (wide_ == nullptr) {
    auto wide = std::make_unique<Wide>();
    for (std::size_t i = 0; i < kBuckets; ++i) {
      (*wide)[i] = bucket(i);
    }
    wide_ = std::move(wide);
  }
  return *wide_;
}

void TimeWindow::advance(Nanos now) noexcept {
  if (total_.calls == 0) {  // lay the buckets anew from here
    bucket_end_ = saturating_add(now, width_);
    return;
  }
  const Nanos passed = (now - bucket_end_) / width_ + 1;
  if (std::cmp_greater_equal(passed, kBuckets)) {
    clear();
    bucket_end_ = saturating_add(now, width_);
    return;
  }
  for (Nanos i = 0; i < passed; ++i) {
    cursor_ = cursor_ + 1 == kBuckets ? 0 : cursor_ + 1;
    total_ -= bucket(cursor_);
    narrow_[cursor_] = {};
    if (wide_ != nullptr) {
      (*wide_)[cursor_] = {};
    }
  }
  bucket_end_ = total_.calls == 0 ? saturating_add(now, width_) : bucket_end_ + passed * width_;
}

WindowCounts TimeWindow::counts(Nanos now) const noexcept {
  WindowCounts inside = total_;
  if (now < bucket_end_ || total_.calls == 0) {
    return inside;
  }
  const Nanos passed = std::min((now - bucket_end_) / width_ + 1, static_cast<Nanos>(kBuckets));
  std::size_t at = cursor_;
  for (Nanos i = 0; i < passed; ++i) {
    at = at + 1 == kBuckets ? 0 : at + 1;
    inside -= bucket(at);
  }
  return inside;
}

void TimeWindow::clear() noexcept {
  narrow_.fill({});
  wide_.reset();
  total_ = {};
  cursor_ = 0;
  bucket_end_ = INT64_MIN;
}

}  // namespace resilience
