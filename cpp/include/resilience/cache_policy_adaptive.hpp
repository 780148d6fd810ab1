// The policies that weigh how often a key is asked for: `adaptive` and `w_tinylfu` (see cache_policy.hpp).
//
// adaptive = a window steered by ghosts (SegmentedWindow) + a sketch of frequencies + a guard against loops.
// Until half of the capacity is in use nothing can need to leave for long, so neither sketch nor guard runs.
#pragma once

#include <optional>

#include "resilience/cache_policy.hpp"
#include "resilience/frequency_sketch.hpp"
#include "resilience/loop_guard.hpp"
#include "resilience/segmented_window.hpp"

namespace resilience {

class TinyLfuPolicy final : public CachePolicy {
 public:
  TinyLfuPolicy(std::size_t capacity, WindowMode mode);

  void hit(Slot slot) override;
  void insert(Slot slot, std::uint32_t hash) override;
  [[nodiscard]] Slot evict() override { return body_.evict(); }
  void settle() override { body_.settle(); }
  void erase(Slot slot) override { body_.erase(slot); }
  void set_capacity(std::size_t capacity) override;
  void clear() override;

  [[nodiscard]] std::uint32_t hash_of(Slot slot) const noexcept override { return body_.hash_of(slot); }
  [[nodiscard]] std::size_t size() const noexcept override { return body_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept override;
  [[nodiscard]] bool consistent() const override { return body_.consistent(); }
  [[nodiscard]] double window_fraction() const noexcept { return body_.window_fraction(); }

 private:
  void record(std::uint32_t hash, bool hit);
  void grow_sketch();

  WindowMode mode_;
  std::size_t capacity_;
  FrequencySketch sketch_;
  SegmentedWindow body_;
  std::optional<LoopGuard> guard_;
  bool recording_ = false;
  std::size_t hits_in_a_row_ = 0;
};

}  // namespace resilience
