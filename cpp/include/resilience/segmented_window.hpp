// The body shared by the TinyLFU policies: an LRU window for newcomers before a segmented LRU of the proven.
//
// Lists: window W, probation PB, protected PR (at most 80 % of what W leaves). A newcomer that falls out of
// W duels with the main region's next victim on recent frequency (FrequencySketch). With steering, two ghost
// lists remember who lost: a miss on one rejected at the window's exit says that the window is too small, a
// miss on one evicted from the main region that it is too large; each moves the window's target size by a
// step.
//
// Thread-safety: none. Complexity: O(1); at most kMovesPerSettle list moves an operation.
// Source: W-TinyLFU as in frequency_sketch.hpp; steering by ghost hits after ARC (Megiddo, Modha, FAST '03).
#pragma once

#include <cstddef>
#include <cstdint>

#include "resilience/cache_policy.hpp"
#include "resilience/frequency_sketch.hpp"
#include "resilience/ghost_list.hpp"
#include "resilience/slot_lists.hpp"

namespace resilience {

enum class WindowMode : std::uint8_t {
  kFixed,    // the window stays at 1 %, the duel is TinyLFU's
  kSteered,  // the window follows the ghost lists
};

class SegmentedWindow {
 public:
  SegmentedWindow(std::size_t capacity, WindowMode mode, const FrequencySketch& sketch);

  void hit(Slot slot);
  void insert(Slot slot, std::uint32_t hash);
  [[nodiscard]] Slot evict();
  void settle();
  void erase(Slot slot);
  void set_capacity(std::size_t capacity);
  void clear();

  // While held, the window stays at its smallest: the answer to a loop.
  void hold_window(bool held);
  [[nodiscard]] double window_fraction() const noexcept { return target_ / static_cast<double>(capacity_); }
  void set_window_fraction(double fraction) noexcept;

  [[nodiscard]] std::uint32_t hash_of(Slot slot) const noexcept { return nodes_[slot].hash; }
  [[nodiscard]] std::size_t size() const noexcept {
    return window_.size() + probation_.size() + protected_.size();
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;
  [[nodiscard]] bool consistent() const;

 private:
  static constexpr int kMovesPerSettle = 64;

  void steer(std::uint32_t hash);
  void move_window(double by) noexcept;
  void trim_protected() noexcept;
  [[nodiscard]] bool window_overflows() const noexcept;
  [[nodiscard]] bool admits(Slot candidate, Slot victim) const noexcept;
  [[nodiscard]] SlotList& list_of(Slot slot) noexcept;
  Slot reject(Slot candidate);
  Slot demote(SlotList& list);

  const FrequencySketch& sketch_;
  WindowMode mode_;
  bool held_ = false;
  std::size_t capacity_ = 0;
  double target_ = 0.0;  // the window's target size
  double step_ = 0.0;
  SlotNodes nodes_;
  SlotList window_{1};
  SlotList probation_{2};
  SlotList protected_{3};
  GhostList rejected_;  // lost the duel at the window's exit
  GhostList demoted_;   // evicted from the main region
};

}  // namespace resilience
