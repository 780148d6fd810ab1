#include "resilience/frequency_sketch.hpp"

#include <algorithm>
#include <bit>

namespace resilience {

namespace {

constexpr std::uint64_t kHalves = 0x7777777777777777ULL;
constexpr int kRows = 4;
constexpr std::uint64_t kIncrementsPerEntry = 10;

struct Place {
  std::size_t word;
  unsigned shift;
};

// Row `row` of a block owns two words, 32 counters; five bits of the remixed hash choose one.
Place place_of(std::size_t block, std::uint32_t bits, int row) noexcept {
  const std::uint32_t counter = (bits >> (8 * row)) & 31U;
  return {block * 8 + static_cast<std::size_t>(2 * row) + (counter >> 4U), (counter & 15U) * 4U};
}

std::uint32_t remix(std::uint32_t hash) noexcept {
  hash ^= hash >> 15U;
  hash *= 0x2C1B3C6DU;
  hash ^= hash >> 13U;
  hash *= 0x297A2D39U;
  return hash ^ (hash >> 16U);
}

}  // namespace

void FrequencySketch::increment(std::uint32_t hash) noexcept {
  if (halving()) {
    step_halving();
  }
  const std::size_t block = hash & block_mask_;
  const std::uint32_t bits = remix(hash);
  bool counted = false;
  for (int row = 0; row < kRows; ++row) {
    const Place place = place_of(block, bits, row);
    std::uint64_t& word = words_[place.word];
    if (((word >> place.shift) & kMaxCount) != kMaxCount) {
      word += std::uint64_t{1} << place.shift;
      counted = true;
    }
  }
  if (counted && ++increments_ >= kIncrementsPerEntry * capacity_) {
    increments_ /= 2;
    cursor_ = 0;
  }
}

std::uint32_t FrequencySketch::estimate(std::uint32_t hash) const noexcept {
  const std::size_t block = hash & block_mask_;
  const std::uint32_t bits = remix(hash);
  std::uint32_t least = kMaxCount;
  for (int row = 0; row < kRows; ++row) {
    const Place place = place_of(block, bits, row);
    least = std::min(least, static_cast<std::uint32_t>((words_[place.word] >> place.shift) & kMaxCount));
  }
  return block * kWordsPerBlock >= cursor_ && halving() ? least / 2 : least;
}

void FrequencySketch::resize(std::size_t capacity) {
  capacity_ = std::max<std::size_t>(capacity, kWordsPerBlock);
  const std::size_t wanted = std::bit_ceil(capacity_);
  while (halving()) {
    step_halving();
  }
  if (wanted < words_.size() || words_.empty()) {
    words_ = std::vector<std::uint64_t>(wanted);
    increments_ = 0;
  } else if (wanted > words_.size()) {
    // The new index bit splits each block in two: both keep the counts, which stay upper bounds.
    const std::size_t old = words_.size();
    std::vector<std::uint64_t> grown(wanted);
    for (std::size_t at = 0; at < wanted; at += old) {
      std::copy(words_.begin(), words_.end(), grown.begin() + static_cast<std::ptrdiff_t>(at));
    }
    words_ = std::move(grown);
  }
  block_mask_ = words_.size() / kWordsPerBlock - 1;
  cursor_ = words_.size();
}

void FrequencySketch::clear() noexcept {
  std::fill(words_.begin(), words_.end(), 0);
  increments_ = 0;
  cursor_ = words_.size();
}

void FrequencySketch::halve_word(std::size_t word) noexcept { words_[word] = (words_[word] >> 1U) & kHalves; }

void FrequencySketch::step_halving() noexcept {
  const std::size_t end = std::min(cursor_ + kWordsPerStep, words_.size());
  for (; cursor_ < end; ++cursor_) {
    halve_word(cursor_);
  }
}

}  // namespace resilience
