#include "resilience/hash_index.hpp"

#include <algorithm>
#include <utility>

namespace resilience {

void HashIndex::insert(std::uint32_t hash, std::uint32_t number) {
  if ((size_ + 1) * 4 > buckets_.size() * 3) {
    rebuild(buckets_.size() * 2);
  }
  place({hash, number});
  ++size_;
}

std::size_t HashIndex::position_of(std::uint32_t hash, std::uint32_t number) const noexcept {
  std::size_t position = hash & mask();
  while (buckets_[position].number != number || buckets_[position].hash != hash) {
    position = (position + 1) & mask();
  }
  return position;
}

void HashIndex::erase(std::uint32_t hash, std::uint32_t number) noexcept {
  std::size_t hole = position_of(hash, number);
  std::size_t next = hole;
  for (;;) {
    next = (next + 1) & mask();
    const Bucket& bucket = buckets_[next];
    if (bucket.number == kNone) {
      break;
    }
    // It may fill the hole unless its own start lies cyclically between the hole and itself.
    const std::size_t from_start = (next - (bucket.hash & mask())) & mask();
    const std::size_t from_hole = (next - hole) & mask();
    if (from_start >= from_hole) {
      buckets_[hole] = bucket;
      hole = next;
    }
  }
  buckets_[hole].number = kNone;
  --size_;
}

void HashIndex::update(std::uint32_t hash, std::uint32_t number, std::uint32_t replacement) noexcept {
  buckets_[position_of(hash, number)].number = replacement;
}

void HashIndex::clear() {
  buckets_ = PagedVector<Bucket>(kSmallest);
  size_ = 0;
}

void HashIndex::shrink() {
  std::size_t wanted = kSmallest;
  while (size_ * 4 > wanted * 3) {
    wanted *= 2;
  }
  if (wanted < buckets_.size()) {
    rebuild(wanted);
  }
}

void HashIndex::place(Bucket bucket) noexcept {
  std::size_t position = bucket.hash & mask();
  while (buckets_[position].number != kNone) {
    position = (position + 1) & mask();
  }
  buckets_[position] = bucket;
}

void HashIndex::rebuild(std::size_t bucket_count) {
  PagedVector<Bucket> old(bucket_count);
  old.swap(buckets_);
  for (const Bucket& bucket : old) {
    if (bucket.number != kNone) {
      place(bucket);
    }
  }
}

}  // namespace resilience
