#include "resilience/frequency_sketch.hpp"

#include <algorithm>
#include <bit>

namespace resilience {

namespace {

constexpr std::uint64_t kHalves = 0x7777777777777777ULL;
constexpr unsigned kRows = 4;
constexpr std::uint64_t kIncrementsPerEntry = 10;

// One word of row `row` and a counter in it: each row owns two words of its block, 32 counters, so five bits
// of the remixed hash choose one.
constexpr std::size_t word_in_block(std::uint32_t bits, unsigned row) noexcept {
  return 2 * row + ((bits >> (5 * row + 4)) & 1U);
}
constexpr unsigned shift_in_word(std::uint32_t bits, unsigned row) noexcept {
  return ((bits >> (5 * row)) & 15U) * 4U;
}

// Independent of the low bits, which choose the block.
constexpr std::uint32_t remix(std::uint32_t hash) noexcept {
  return static_cast<std::uint32_t>((hash * 0x9E3779B97F4A7C15ULL) >> 40U);
}

}  // namespace

void FrequencySketch::increment(std::uint32_t hash) noexcept {
  if (halving()) {
    step_halving();
  }
  std::uint64_t* const block = &words_[(hash & block_mask_) * kWordsPerBlock];
  const std::uint32_t bits = remix(hash);
  bool counted = false;
  for (unsigned row = 0; row < kRows; ++row) {
    std::uint64_t& word = block[word_in_block(bits, row)];
    const unsigned shift = shift_in_word(bits, row);
    const bool below = ((word >> shift) & kMaxCount) != kMaxCount;
    word += std::uint64_t{below} << shift;
    counted = counted || below;
  }
  increments_ += counted ? 1U : 0U;
  if (increments_ >= limit_) [[unlikely]] {
    increments_ /= 2;
    cursor_ = 0;
  }
}

std::uint32_t FrequencySketch::estimate(std::uint32_t hash) const noexcept {
  const std::size_t first = (hash & block_mask_) * kWordsPerBlock;
  const std::uint32_t bits = remix(hash);
  std::uint32_t least = kMaxCount;
  for (unsigned row = 0; row < kRows; ++row) {
    const std::uint64_t word = words_[first + word_in_block(bits, row)];
    least = std::min(least, static_cast<std::uint32_t>((word >> shift_in_word(bits, row)) & kMaxCount));
  }
  return halving() && first >= cursor_ ? least / 2 : least;
}

void FrequencySketch::resize(std::size_t capacity) {
  capacity_ = std::max<std::size_t>(capacity, kWordsPerBlock);
  limit_ = kIncrementsPerEntry * capacity_;
  const std::size_t wanted = std::bit_ceil(capacity_);
  while (halving()) {
    step_halving();
  }
  if (wanted < words_.size() || words_.empty()) {
    words_ = PagedVector<std::uint64_t>(wanted);
    increments_ = 0;
  } else if (wanted > words_.size()) {
    // The new index bit splits each block in two: both keep the counts, which stay upper bounds.
    const std::size_t old = words_.size();
    PagedVector<std::uint64_t> grown(wanted);
    for (std::size_t at = 0; at < wanted; at += old) {
      std::ranges::copy(words_, grown.begin() + static_cast<std::ptrdiff_t>(at));
    }
    words_ = std::move(grown);
  }
  block_mask_ = words_.size() / kWordsPerBlock - 1;
  cursor_ = words_.size();
}

void FrequencySketch::clear() noexcept {
  std::ranges::fill(words_, 0);
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
