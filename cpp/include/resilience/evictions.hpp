// What left a cache during one operation, for the caller to release once the cache is in order again.
//
// Releasing a value may run foreign code that uses the cache, so it never does so itself. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace resilience {

// Whatever the owner keeps in a cache: a pointer, or a number.
using CacheHandle = std::uintptr_t;

enum class EvictionCause : std::uint8_t { kCapacity, kExpired, kExplicit, kReplaced, kCleared };
inline constexpr std::size_t kEvictionCauses = 5;

[[nodiscard]] constexpr std::string_view to_string(EvictionCause cause) noexcept {
  constexpr std::array<std::string_view, kEvictionCauses> kNames{"capacity", "expired", "explicit",
                                                                 "replaced", "cleared"};
  return kNames[static_cast<std::size_t>(cause)];
}

// The cache's hold on both handles passes to whoever reads this.
struct Evicted {
  CacheHandle key = 0;  // 0 when the key stays in the cache: a replaced value
  CacheHandle value = 0;
  EvictionCause cause = EvictionCause::kExplicit;
};

// A list whose first few items need no allocation: nearly every operation evicts one or none.
class Evictions {
 public:
  void push(Evicted evicted) {
    if (size_ < kInline) {
      inline_[size_] = evicted;
    } else {
      more_.push_back(evicted);
    }
    ++size_;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] const Evicted& operator[](std::size_t at) const noexcept {
    return at < kInline ? inline_[at] : more_[at - kInline];
  }

 private:
  static constexpr std::size_t kInline = 4;
  std::array<Evicted, kInline> inline_;
  std::vector<Evicted> more_;
  std::size_t size_ = 0;
};

}  // namespace resilience
