// A forecast of one load a fixed number of steps ahead, and how far reality strays from it.
//
// Horizon is what every forecaster shares: it waits for the forecast step, compares, and keeps the
// residuals on the square-root scale, where a count's noise does not depend on its size. Subclasses
// only say the mean and, if they know better, the spread.
//
// Thread-safety: none; one owner. O(1) a step here.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "resilience/load_history.hpp"
#include "resilience/step_grid.hpp"

namespace resilience {

// Standardised residuals with forgetting: their quantiles in O(bins), their squares and sizes in O(1).
class Residuals {
 public:
  explicit Residuals(const StepGrid& grid);

  void add(double residual, double spread, double load, double mean) noexcept;
  [[nodiscard]] double long_spread() const noexcept;   // root mean square, half-life 72 h
  [[nodiscard]] double short_spread() const noexcept;  // as above, 1 h
  [[nodiscard]] double latest() const noexcept { return latest_; }
  // How many spreads above the mean the q-quantile lies.
  [[nodiscard]] double quantile(double q) const noexcept;
  // 1 - mean |error| / mean load, in [0, 1].
  [[nodiscard]] double accuracy() const noexcept;

 private:
  static constexpr std::size_t kBins = 241;
  static constexpr double kReach = 6.0;  // spreads, on either side

  void rescale() noexcept;

  double keep_;
  double weight_ = 1.0;
  std::array<double, kBins> counts_{};
  double total_ = 0.0;
  RunningMean long_square_;
  RunningMean short_square_;
  RunningMean error_;
  RunningMean load_;
  double latest_ = 0.0;
};

class Horizon {
 public:
  // `warm_up` steps must have been compared before learned(). REQUIRES: ahead >= 1, warm_up >= 1.
  Horizon(const StepGrid& grid, std::int64_t ahead, std::int64_t warm_up);
  Horizon(const Horizon&) = delete;
  Horizon& operator=(const Horizon&) = delete;
  virtual ~Horizon() = default;

  // Learns from the history's latest step and forecasts `ahead` steps after it. Call once a push.
  void update(const LoadHistory& history);

  [[nodiscard]] std::int64_t ahead() const noexcept { return ahead_; }
  [[nodiscard]] double mean() const noexcept { return mean_; }
  // About one standard deviation of what may come above the mean, on the square-root scale.
  [[nodiscard]] double spread() const noexcept { return spread_; }
  [[nodiscard]] double quantile(double q) const noexcept;
  // True once enough forecasts have been compared with what came.
  [[nodiscard]] bool learned() const noexcept { return compared_ >= warm_up_; }
  // Trust in [0, 1]: how much of the warm-up is done, times the accuracy.
  [[nodiscard]] virtual double confidence() const noexcept;

 protected:
  struct Estimate {
    double mean;
    double spread;
  };

  // The forecast made `ahead` steps before the latest one missed by `residual` (square-root scale).
  virtual void learn(const LoadHistory& history, std::size_t slot, double mean_then) = 0;
  // Called every step, before the forecast, whether or not there was something to learn.
  virtual void advance(const LoadHistory& history) = 0;
  // `slot` numbers the forecasts in flight, for what a subclass keeps of them.
  virtual Estimate estimate(const LoadHistory& history, std::size_t slot) = 0;

  [[nodiscard]] const StepGrid& grid() const noexcept { return grid_; }
  [[nodiscard]] const Residuals& residuals() const noexcept { return residuals_; }

 private:
  struct Pending {
    double mean = 0.0;
    double spread = 0.0;
    bool valid = false;
  };

  StepGrid grid_;
  std::int64_t ahead_;
  std::int64_t warm_up_;
  std::vector<Pending> pending_;
  Residuals residuals_;
  std::int64_t compared_ = 0;
  double mean_ = 0.0;
  double spread_ = 0.0;
};

}  // namespace resilience
