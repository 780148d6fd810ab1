#include "resilience/load_history.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {
constexpr double kLargestLog = 40.0;  // e^40 is past every load; keeps expm1 finite

template <typename T>
void put(std::vector<T>& ring, std::size_t slot, T value) {
  if (slot == ring.size()) {
    ring.push_back(value);
  } else {
    ring[slot] = value;
  }
}

}  // namespace

double to_scale(Scale scale, double load) noexcept {
  switch (scale) {
    case Scale::kRoot:
      return std::sqrt(load);
    case Scale::kLog:
      return std::log1p(load);
    case Scale::kPlain:
      break;
  }
  return load;
}

double from_scale(Scale scale, double value) noexcept {
  const double kept = std::max(value, 0.0);
  switch (scale) {
    case Scale::kRoot:
      return kept * kept;
    case Scale::kLog:
      return std::expm1(std::min(kept, kLargestLog));
    case Scale::kPlain:
      break;
  }
  return kept;
}

LoadHistory::LoadHistory(std::size_t capacity) : capacity_(std::max<std::size_t>(capacity, 2)) {
  for (auto& track : tracks_) {
    track.values.reserve(capacity_);  // untouched pages cost nothing until the history grows into them
    track.sums.reserve(capacity_);
  }
  measured_.reserve(capacity_);
}

void LoadHistory::push(double load, bool measured) {
  const std::size_t here = slot(count_);
  for (std::size_t i = 0; i < kScales; ++i) {
    const double value = to_scale(static_cast<Scale>(i), load);
    const double before = count_ > 0 ? tracks_[i].sums[slot(count_ - 1)] : 0.0;
    put(tracks_[i].values, here, value);
    put(tracks_[i].sums, here, before + value);
  }
  put<std::uint8_t>(measured_, here, measured ? 1 : 0);
  ++count_;
}

double LoadHistory::mean(Scale scale, std::int64_t first, std::int64_t last,
                         double otherwise) const noexcept {
  const std::int64_t from = std::max(first, oldest());
  const std::int64_t to = std::min(last, latest());
  if (from > to) {
    return otherwise;
  }
  const Track& kept = track(scale);
  const std::size_t start = slot(from);
  const double before = kept.sums[start] - kept.values[start];
  return (kept.sums[slot(to)] - before) / static_cast<double>(to - from + 1);
}

}  // namespace resilience
