// Correlation ids: one short name for a request, in its response, its logs and its calls to others.
//
// A name is no secret, so a fast generator makes it; a forked process starts a sequence of its own.
//
// Thread-safety: none; the owner locks. Complexity: O(length).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

namespace resilience {

// Whether an id may be repeated into headers and logs as it is: 1 to 128 of A-Z a-z 0-9 . _ : -
[[nodiscard]] bool is_correlation_id(std::string_view id) noexcept;

class CorrelationIds {
 public:
  static constexpr std::size_t kLength = 32;
  using Id = std::array<char, kLength>;  // 128 random bits in hexadecimal

  CorrelationIds();
  [[nodiscard]] Id next();

 private:
  std::mt19937_64 bits_;
  std::uint64_t process_;  // how often the process had been forked when the sequence began
};

}  // namespace resilience
