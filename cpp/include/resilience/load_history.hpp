// The last weeks of one load, one value a step, ready for forecasting.
//
// Values are kept on three scales (as they are, their square root, log(1 + value)), each with running
// sums, so that a value or the mean of any stretch costs two reads. Steps are numbered from 0 and
// never reused; the oldest leave when the ring is full. A step without a measurement is a gap: it
// holds a filled-in value, so that lags stay aligned, and says so.
//
// Thread-safety: none; one owner. Memory: 56 bytes a step. push and reads are O(1).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace resilience {

enum class Scale : std::uint8_t { kPlain, kRoot, kLog };
inline constexpr std::size_t kScales = 3;

// The value on a scale, and back. Loads are >= 0; what would be negative comes back as 0.
[[nodiscard]] double to_scale(Scale scale, double load) noexcept;
[[nodiscard]] double from_scale(Scale scale, double value) noexcept;

class LoadHistory {
 public:
  explicit LoadHistory(std::size_t capacity);

  // Appends the next step. REQUIRES: load is finite and >= 0.
  void push(double load, bool measured);

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }       // steps pushed so far
  [[nodiscard]] std::int64_t latest() const noexcept { return count_ - 1; }  // -1 while empty
  // True when `step` has been pushed and has not left the ring.
  [[nodiscard]] bool holds(std::int64_t step) const noexcept { return step >= oldest() && step < count_; }
  [[nodiscard]] bool measured(std::int64_t step) const noexcept { return measured_[slot(step)] != 0; }
  // REQUIRES: holds(step).
  [[nodiscard]] double at(Scale scale, std::int64_t step) const noexcept {
    return track(scale).values[slot(step)];
  }
  // Mean over [first, last], cut to the steps held; `otherwise` when none is.
  [[nodiscard]] double mean(Scale scale, std::int64_t first, std::int64_t last,
                            double otherwise) const noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  struct Track {
    std::vector<double> values;
    std::vector<double> sums;  // of everything up to and including the step
  };

  [[nodiscard]] std::int64_t oldest() const noexcept {
    const auto held = static_cast<std::int64_t>(capacity_);
    return count_ > held ? count_ - held : 0;
  }
  [[nodiscard]] std::size_t slot(std::int64_t step) const noexcept {
    return static_cast<std::size_t>(step) % capacity_;
  }
  [[nodiscard]] const Track& track(Scale scale) const noexcept {
    return tracks_[static_cast<std::size_t>(scale)];
  }

  std::size_t capacity_;
  std::int64_t count_ = 0;
  std::array<Track, kScales> tracks_;
  std::vector<std::uint8_t> measured_;
};

}  // namespace resilience
