// Discounted ridge regression, learned one sample at a time.
//
// The normal equations are kept as running, exponentially forgotten sums, so a sample costs O(n^2)
// and no history is replayed. solve() is O(n^3); callers do it now and then. Two flavours: free
// coefficients (Cholesky) and non-negative ones (coordinate descent on the same sums).
//
// Thread-safety: none; one owner. Source: recursive least squares with forgetting; Lawson & Hanson
// (1974) for the non-negative problem, solved by cyclic coordinate descent as in Franc et al. (2005).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace resilience {

template <std::size_t N>
class Ridge {
 public:
  using Row = std::array<double, N>;

  // `keep` in (0, 1] is what one step leaves of the past; `penalty` is relative to the mean diagonal.
  Ridge(double keep, double penalty) : keep_(keep), penalty_(penalty) {}

  void learn(const Row& x, double target, double weight) noexcept {
    for (std::size_t i = 0; i < N; ++i) {
      const double xi = weight * x[i];
      const std::size_t end = std::min(N, (i | 1) + 1);  // odd ends would cost half of what vectors gain
      for (std::size_t j = 0; j < end; ++j) {
        gram_[i][j] = keep_ * gram_[i][j] + xi * x[j];
      }
      moment_[i] = keep_ * moment_[i] + xi * target;
    }
    mass_ = keep_ * mass_ + weight;
  }

  void solve() noexcept;               // free coefficients; keeps the old ones if the sums are singular
  void solve_non_negative() noexcept;  // warm start from the old ones

  [[nodiscard]] double predict(const Row& x) const noexcept {
    double sum = 0.0;
    for (std::size_t i = 0; i < N; ++i) {
      sum += beta_[i] * x[i];
    }
    return sum;
  }
  [[nodiscard]] double mass() const noexcept { return mass_; }
  [[nodiscard]] const Row& coefficients() const noexcept { return beta_; }

 private:
  [[nodiscard]] double ridge() const noexcept;

  double keep_;
  double penalty_;
  double mass_ = 0.0;
  std::array<Row, N> gram_{};  // lower triangle
  Row moment_{};
  Row beta_{};
};

inline constexpr std::size_t kMeanFeatures = 22;
inline constexpr std::size_t kSpreadFeatures = 6;
extern template class Ridge<kMeanFeatures>;
extern template class Ridge<kSpreadFeatures>;

}  // namespace resilience
