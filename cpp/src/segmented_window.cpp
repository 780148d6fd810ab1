#include "resilience/segmented_window.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {

constexpr double kInitialWindow = 0.05;
constexpr double kSmallestWindow = 0.01;
constexpr double kLargestWindow = 0.95;
constexpr double kProtectedShare = 0.8;
constexpr double kGhostShare = 0.1;
constexpr std::uint8_t kMaxHits = 3;
constexpr std::uint8_t kProvenHits = 2;  // hits in the window that admit without a duel

std::size_t ghosts_for(std::size_t capacity, WindowMode mode) {
  return mode == WindowMode::kSteered
             ? static_cast<std::size_t>(std::ceil(kGhostShare * static_cast<double>(capacity)))
             : 0;
}

}  // namespace

SegmentedWindow::SegmentedWindow(std::size_t capacity, WindowMode mode, const FrequencySketch& sketch)
    : sketch_(sketch),
      mode_(mode),
      rejected_(ghosts_for(capacity, mode)),
      demoted_(ghosts_for(capacity, mode)) {
  set_capacity(capacity);
  set_window_fraction(mode == WindowMode::kSteered ? kInitialWindow : kSmallestWindow);
}

void SegmentedWindow::hit(Slot slot) {
  SlotNode& node = nodes_[slot];
  if (node.region == window_.region()) {
    node.count = static_cast<std::uint8_t>(std::min<int>(node.count + 1, kMaxHits));
    window_.move_to_front(nodes_, slot);
  } else if (node.region == protected_.region()) {
    protected_.move_to_front(nodes_, slot);
  } else {
    probation_.remove(nodes_, slot);
    protected_.push_front(nodes_, slot);
    trim_protected();
  }
}

void SegmentedWindow::insert(Slot slot, std::uint32_t hash) {
  steer(hash);
  nodes_.reach(slot);
  nodes_[slot].hash = hash;
  nodes_[slot].count = 0;
  window_.push_front(nodes_, slot);
}

Slot SegmentedWindow::evict() {
  SlotList& main = probation_.empty() ? protected_ : probation_;
  if (main.empty()) {
    return reject(window_.back());
  }
  if (!window_overflows()) {
    return demote(main);
  }
  const Slot candidate = window_.back();
  if (!admits(candidate, main.back())) {
    return reject(candidate);
  }
  const Slot victim = demote(main);
  window_.remove(nodes_, candidate);
  probation_.push_front(nodes_, candidate);
  return victim;
}

void SegmentedWindow::settle() {
  for (int moves = 0; moves < kMovesPerSettle && window_overflows(); ++moves) {
    const Slot slot = window_.back();
    window_.remove(nodes_, slot);
    probation_.push_front(nodes_, slot);
  }
}

void SegmentedWindow::erase(Slot slot) { list_of(slot).remove(nodes_, slot); }

void SegmentedWindow::set_capacity(std::size_t capacity) {
  const double fraction = capacity_ == 0 ? kInitialWindow : window_fraction();
  capacity_ = std::max<std::size_t>(capacity, 1);
  step_ = 0.75 * std::pow(static_cast<double>(capacity_) / 1000.0, 0.75);
  nodes_.set_limit(capacity_ + 1);
  rejected_.resize(ghosts_for(capacity_, mode_));
  demoted_.resize(ghosts_for(capacity_, mode_));
  set_window_fraction(fraction);
  trim_protected();
}

void SegmentedWindow::clear() {
  window_.clear();
  probation_.clear();
  protected_.clear();
  nodes_.clear();
  rejected_.clear();
  demoted_.clear();
}

void SegmentedWindow::hold_window(bool held) {
  held_ = held;
  if (held) {
    set_window_fraction(kSmallestWindow);
  }
}

void SegmentedWindow::set_window_fraction(double fraction) noexcept {
  target_ = fraction * static_cast<double>(capacity_);
  move_window(0.0);
}

std::size_t SegmentedWindow::memory_bytes() const noexcept {
  return nodes_.memory_bytes() + rejected_.memory_bytes() + demoted_.memory_bytes();
}

bool SegmentedWindow::consistent() const {
  return window_.consistent(nodes_) && probation_.consistent(nodes_) && protected_.consistent(nodes_) &&
         target_ >= 1.0 && rejected_.size() <= rejected_.capacity() && demoted_.size() <= demoted_.capacity();
}

void SegmentedWindow::steer(std::uint32_t hash) {
  if (mode_ == WindowMode::kFixed) {
    return;
  }
  if (rejected_.take(hash)) {
    move_window(held_ ? 0.0 : step_);
  } else if (demoted_.take(hash)) {
    move_window(held_ ? 0.0 : -step_);
  }
}

void SegmentedWindow::move_window(double by) noexcept {
  const auto capacity = static_cast<double>(capacity_);
  const double least = std::max(1.0, kSmallestWindow * capacity);
  target_ = std::clamp(target_ + by, least, std::max(least, kLargestWindow * capacity));
}

void SegmentedWindow::trim_protected() noexcept {
  const double limit = kProtectedShare * (static_cast<double>(capacity_) - target_);
  for (int moves = 0; moves<kMovesPerSettle&& static_cast<double>(protected_.size())> limit; ++moves) {
    const Slot slot = protected_.back();
    protected_.remove(nodes_, slot);
    probation_.push_front(nodes_, slot);
  }
}

bool SegmentedWindow::window_overflows() const noexcept {
  return static_cast<double>(window_.size()) > target_;
}

bool SegmentedWindow::admits(Slot candidate, Slot victim) const noexcept {
  const std::uint32_t challenger = sketch_.estimate(nodes_[candidate].hash);
  const std::uint32_t holder = sketch_.estimate(nodes_[victim].hash);
  if (mode_ == WindowMode::kFixed) {
    return challenger > holder;
  }
  // A well-established victim has to be beaten clearly: large counts are the noisy ones.
  return nodes_[candidate].count >= kProvenHits ||
         (challenger >= 2 && challenger > holder + (holder >= 5 ? 1U : 0U));
}

SlotList& SegmentedWindow::list_of(Slot slot) noexcept {
  const std::uint8_t region = nodes_[slot].region;
  return region == window_.region() ? window_ : region == probation_.region() ? probation_ : protected_;
}

Slot SegmentedWindow::reject(Slot candidate) {
  window_.remove(nodes_, candidate);
  rejected_.push(nodes_[candidate].hash);
  return candidate;
}

Slot SegmentedWindow::demote(SlotList& list) {
  const Slot victim = list.back();
  list.remove(nodes_, victim);
  demoted_.push(nodes_[victim].hash);
  return victim;
}

}  // namespace resilience
