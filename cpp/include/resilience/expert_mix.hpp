// Weights for several forecasts of one value, learned online from their errors.
//
// ML-Poly with absolute loss and discounted sums: an expert weighs by how much following it would have
// lately beaten the mixture; the worse ones weigh nothing. No learning rate to choose.
//
// Thread-safety: none; one owner. O(experts) a step. Source: Cesa-Bianchi & Lugosi, "Potential-based
// algorithms in on-line prediction and game theory" (2003); Gaillard, Stoltz & van Erven (2014).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace resilience {

template <std::size_t N>
class ExpertMix {
 public:
  using Values = std::array<double, N>;

  explicit ExpertMix(double keep) noexcept : keep_(keep) { weights_.fill(1.0 / static_cast<double>(N)); }

  // What the experts and the mixture had said about a value that is now known. `scale` is the size of
  // a usual error, in the value's unit; nothing is learned while it is 0.
  void learn(const Values& said, double mixed, double value, double scale) noexcept {
    if (!(scale > 0.0)) {
      return;
    }
    const double direction = mixed > value ? 1.0 : (mixed < value ? -1.0 : 0.0);
    for (std::size_t i = 0; i < N; ++i) {
      const double regret = std::clamp(direction * (mixed - said[i]) / scale, -kLargest, kLargest);
      regret_[i] = keep_ * regret_[i] + regret;
      square_[i] = keep_ * square_[i] + regret * regret;
    }
  }

  void reweigh() noexcept {
    double total = 0.0;
    for (std::size_t i = 0; i < N; ++i) {
      weights_[i] = std::max(regret_[i], 0.0) / (1.0 + square_[i]);
      total += weights_[i];
    }
    for (double& weight : weights_) {
      weight = total > 0.0 ? weight / total : 1.0 / static_cast<double>(N);
    }
  }

  [[nodiscard]] double mix(const Values& said) const noexcept {
    double sum = 0.0;
    for (std::size_t i = 0; i < N; ++i) {
      sum += weights_[i] * said[i];
    }
    return sum;
  }
  [[nodiscard]] const Values& weights() const noexcept { return weights_; }

 private:
  static constexpr double kLargest = 20.0;

  double keep_;
  Values regret_{};
  Values square_{};
  Values weights_{};
};

}  // namespace resilience
