// The plain forecasters: what one would try first, what the ensemble is measured against.
//
// Each is a PointModel: it sees every step and says the value `ahead` steps on. SimpleHorizon gives any
// of them residual quantiles. Thread-safety: none; one owner.
// Sources: Holt (1957), Winters (1960), Gardner & McKenzie (1985) for the damped trend.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "resilience/horizon.hpp"

namespace resilience {

class PointModel {
 public:
  PointModel() = default;
  PointModel(const PointModel&) = delete;
  PointModel& operator=(const PointModel&) = delete;
  virtual ~PointModel() = default;

  virtual void observe(const LoadHistory& history) = 0;
  [[nodiscard]] virtual double predict(const LoadHistory& history) const = 0;
  // Trust in [0, 1], or a negative number to leave it to the residuals.
  [[nodiscard]] virtual double confidence() const noexcept { return -1.0; }
};

class LastValueModel final : public PointModel {
 public:
  void observe(const LoadHistory&) override {}
  [[nodiscard]] double predict(const LoadHistory& history) const override;
};

// Exponentially weighted mean; 0.3 of the weight on the latest value.
class EwmaModel final : public PointModel {
 public:
  void observe(const LoadHistory& history) override;
  [[nodiscard]] double predict(const LoadHistory&) const override { return level_; }

 private:
  double level_ = 0.0;
  bool started_ = false;
};

// Day or week profile at the present level.
class ProfileModel final : public PointModel {
 public:
  enum class Season : std::uint8_t { kDay, kWeek };
  ProfileModel(const StepGrid& grid, std::int64_t ahead, Season season) noexcept
      : grid_(grid), ahead_(ahead), season_(season) {}
  void observe(const LoadHistory&) override {}
  [[nodiscard]] double predict(const LoadHistory& history) const override;

 private:
  StepGrid grid_;
  std::int64_t ahead_;
  Season season_;
};

// Additive day season with a damped trend; six parameter sets, the lately best one speaks.
class HoltWintersModel final : public PointModel {
 public:
  HoltWintersModel(const StepGrid& grid, std::int64_t ahead);
  void observe(const LoadHistory& history) override;
  [[nodiscard]] double predict(const LoadHistory& history) const override;

 private:
  static constexpr std::size_t kSets = 6;
  struct Smoother {
    double level = 0.0;
    double trend = 0.0;
    double recent_error = 0.0;
    std::vector<double> season;
    std::vector<double> said;  // forecasts in flight
  };
  void start(const LoadHistory& history);
  void smooth(Smoother& smoother, std::size_t set, std::int64_t now, double load) const noexcept;

  StepGrid grid_;
  std::int64_t ahead_;
  double damped_steps_;  // sum of the damped trend over the horizon
  double keep_;
  bool started_ = false;
  std::array<Smoother, kSets> smoothers_;
};

// Mean of the samples of the last seven days at the target's hour and weekday (UTC).
class SimilarPeriodsModel final : public PointModel {
 public:
  // `start_time`: UNIX seconds of step 0; `lead_seconds`: from the latest step to the target.
  SimilarPeriodsModel(const StepGrid& grid, double start_time, double lead_seconds) noexcept
      : grid_(grid), start_time_(start_time), lead_seconds_(lead_seconds) {}
  void observe(const LoadHistory& history) override;
  [[nodiscard]] double predict(const LoadHistory& history) const override;
  [[nodiscard]] double confidence() const noexcept override { return confidence_; }
  [[nodiscard]] std::int64_t similar() const noexcept { return similar_; }

 private:
  void add_hour(const LoadHistory& history, double hour_start, double& sum) noexcept;

  StepGrid grid_;
  double start_time_;
  double lead_seconds_;
  double mean_ = 0.0;
  double confidence_ = 0.0;
  std::int64_t similar_ = 0;
  std::int64_t measured_ = 0;
};

class SimpleHorizon final : public Horizon {
 public:
  SimpleHorizon(const StepGrid& grid, std::int64_t ahead, std::unique_ptr<PointModel> model);
  [[nodiscard]] double confidence() const noexcept override;

 private:
  void learn(const LoadHistory&, std::size_t, double) override {}
  void advance(const LoadHistory& history) override { model_->observe(history); }
  Estimate estimate(const LoadHistory& history, std::size_t slot) override;

  std::unique_ptr<PointModel> model_;
};

}  // namespace resilience
