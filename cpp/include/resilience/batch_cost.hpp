// What a batch of n items costs in time: a·n + b, fitted by least squares over batches that weigh less the
// older they are. Both parts are kept >= 0; sizes that never vary can't tell them apart, and count as all b.
// Thread-safety: none. Complexity: O(1).
#pragma once

#include <cstddef>

#include "resilience/clock.hpp"

namespace resilience {

class BatchCost {
 public:
  void observe(std::size_t size, Nanos duration) noexcept;
  [[nodiscard]] bool known() const noexcept { return weight_ > 0.0; }
  [[nodiscard]] double per_item() const noexcept { return per_item_; }    // a, seconds
  [[nodiscard]] double per_batch() const noexcept { return per_batch_; }  // b, seconds
  [[nodiscard]] double of(std::size_t size) const noexcept {
    return per_item_ * static_cast<double>(size) + per_batch_;
  }

 private:
  static constexpr double kKept = 0.98;  // of the weight of what was seen before: about 50 batches count

  double weight_ = 0.0;
  double sizes_ = 0.0;
  double squares_ = 0.0;
  double times_ = 0.0;
  double products_ = 0.0;
  double per_item_ = 0.0;
  double per_batch_ = 0.0;
};

}  // namespace resilience
