#include "resilience/correlation_id.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>

namespace resilience {

namespace {

constexpr std::size_t kLongest = 128;

constexpr std::array<bool, 256> kAllowed = [] {
  std::array<bool, 256> allowed{};
  for (const char character :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")) {
    allowed[static_cast<unsigned char>(character)] = true;
  }
  return allowed;
}();

std::atomic<std::uint64_t>& forks() {
  static std::atomic<std::uint64_t> number{0};
  static const bool counted = [] {
    return pthread_atfork(nullptr, nullptr, [] { number.fetch_add(1, std::memory_order_relaxed); }) == 0;
  }();
  static_cast<void>(counted);
  return number;
}

std::mt19937_64 seeded() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
  return std::mt19937_64(seed);
}

}  // namespace

bool is_correlation_id(std::string_view id) noexcept {
  return !id.empty() && id.size() <= kLongest && std::ranges::all_of(id, [](char character) {
    return kAllowed[static_cast<unsigned char>(character)];
  });
}

CorrelationIds::CorrelationIds() : bits_(seeded()), process_(forks().load(std::memory_order_relaxed)) {}

CorrelationIds::Id CorrelationIds::next() {
  const std::uint64_t process = forks().load(std::memory_order_relaxed);
  if (process != process_) [[unlikely]] {
    bits_ = seeded();
    process_ = process;
  }
  constexpr std::string_view digits = "0123456789abcdef";
  Id id;
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t word = bits_();
    for (std::size_t i = 0; i < kLength / 2; ++i, word >>= 4U) {
      id[half * kLength / 2 + i] = digits[word & 0xFU];
    }
  }
  return id;
}

}  // namespace resilience
