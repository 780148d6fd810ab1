#include "resilience/ridge.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {
constexpr double kTiny = 1e-12;
constexpr int kSweeps = 40;  // coordinate descent from a warm start settles long before this
}  // namespace

template <std::size_t N>
double Ridge<N>::ridge() const noexcept {
  double trace = 0.0;
  for (std::size_t i = 0; i < N; ++i) {
    trace += gram_[i][i];
  }
  return penalty_ * trace / static_cast<double>(N) + kTiny;
}

template <std::size_t N>
void Ridge<N>::solve() noexcept {
  std::array<Row, N> root = gram_;
  const double extra = ridge();
  for (std::size_t k = 0; k < N; ++k) {
    const double pivot = root[k][k] + extra;
    if (!(pivot > 0.0)) {
      return;
    }
    root[k][k] = std::sqrt(pivot);
    Row column{};  // contiguous, so that the update below is one of vectors
    for (std::size_t i = k + 1; i < N; ++i) {
      root[i][k] /= root[k][k];
      column[i] = root[i][k];
    }
    for (std::size_t i = k + 1; i < N; ++i) {
      for (std::size_t j = k + 1; j <= i; ++j) {
        root[i][j] -= column[i] * column[j];
      }
    }
  }
  Row half{};
  for (std::size_t i = 0; i < N; ++i) {
    double sum = moment_[i];
    for (std::size_t k = 0; k < i; ++k) {
      sum -= root[i][k] * half[k];
    }
    half[i] = sum / root[i][i];
  }
  for (std::size_t i = N; i-- > 0;) {
    double sum = half[i];
    for (std::size_t k = i + 1; k < N; ++k) {
      sum -= root[k][i] * beta_[k];
    }
    beta_[i] = sum / root[i][i];
  }
}

template <std::size_t N>
void Ridge<N>::solve_non_negative() noexcept {
  const double extra = ridge();
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double moved = 0.0;
    for (std::size_t i = 0; i < N; ++i) {
      double gradient = moment_[i];
      for (std::size_t j = 0; j < N; ++j) {
        gradient -= beta_[j] * (j <= i ? gram_[i][j] : gram_[j][i]);
      }
      const double diagonal = gram_[i][i] + extra;
      const double next = std::max(0.0, (gradient + gram_[i][i] * beta_[i]) / diagonal);
      moved = std::max(moved, std::abs(next - beta_[i]));
      beta_[i] = next;
    }
    if (moved < kTiny) {
      return;
    }
  }
}

template class Ridge<kMeanFeatures>;
template class Ridge<kSpreadFeatures>;

}  // namespace resilience
