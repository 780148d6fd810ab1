// Sizes of a service's resources, decided from what it measured and what is forecast.
//
// A machine: samples come in, one a step; wanted sizes come out, each with its reasons. Somebody else
// applies them and says what became of it; only then do the current sizes change. Workers follow the
// forecast request rate, connections the forecast connections, the cache the trend and the memory.
//
// Thread-safety: none; one owner. A step takes about 15 us. Memory: 32 bytes a step of history, and the
// forecasters' own.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "resilience/allocation_rules.hpp"
#include "resilience/error.hpp"
#include "resilience/forecast.hpp"
#include "resilience/provisioner.hpp"

namespace resilience {

// What was measured over one step. What could not be measured is left out.
struct LoadSample {
  double time = 0.0;  // UNIX seconds
  std::optional<double> rpm{};
  std::optional<double> connections{};
  std::optional<double> response_time{};    // seconds
  std::optional<double> cpu_cores{};        // cores in use by the process and its children
  std::optional<double> memory_fraction{};  // of what the machine or the cgroup allows
};

struct AllocatorConfig {
  double interval = 60.0;
  double history_days = 7.0;
  double lead_time = 900.0;
  ForecastKind kind = ForecastKind::kEnsemble;
  Sizes initial{5, 20, 100};
  Sizes least{1, 5, 25};
  Sizes limits{20, 100, 500};

  [[nodiscard]] InvalidArgument validate() const;
};

enum class ResizeOutcome : std::uint8_t { kProposed, kApplied, kFailed, kShadow };
inline constexpr std::array<std::string_view, 4> kResizeOutcomeNames{"proposed", "applied", "failed",
                                                                     "shadow"};

// One decision and everything it was made from.
struct AuditEntry {
  std::int64_t id = 0;
  double time = 0.0;
  Resource resource = Resource::kWorkers;
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::string_view rule;  // "similar_periods", "reactive", "forecast", "trend", "memory"
  double measured = 0.0;  // the load it follows, now
  double forecast = 0.0;  // that load at the end of the lead time
  double quantile = 0.9;
  double forecast_at_quantile = 0.0;
  double margin = 0.0;
  double confidence = 0.0;
  ResizeOutcome outcome = ResizeOutcome::kProposed;
};

class Allocator {
 public:
  // REQUIRES: config.validate().ok().
  explicit Allocator(const AllocatorConfig& config);

  // The sample of a step, `steps` after the one before it (more than 1 leaves gaps). Returns the changes
  // it wants; each waits for settle(). REQUIRES: steps >= 1.
  std::span<const AuditEntry> observe(const LoadSample& sample, std::int64_t steps);
  // The same for a sample kept from before a restart: learned from, not acted on.
  void replay(const LoadSample& sample, std::int64_t steps);
  // What became of a change. `actual` is the size it has now; the current size follows it when applied.
  void settle(std::int64_t id, ResizeOutcome outcome, std::int64_t actual);
  // A unit took this long from being asked for to serving.
  void started(Resource resource, double seconds);

  [[nodiscard]] const AllocatorConfig& config() const noexcept { return config_; }
  [[nodiscard]] const Sizes& current() const noexcept { return current_; }
  [[nodiscard]] double rpm_per_worker() const noexcept { return rpm_per_worker_; }
  [[nodiscard]] double start_delay(Resource resource) const noexcept;
  [[nodiscard]] const Forecaster& rpm() const noexcept { return *rpm_; }
  [[nodiscard]] const Forecaster& connections() const noexcept { return *connections_; }
  [[nodiscard]] const Forecaster& response_time() const noexcept { return response_time_; }
  // How workers would be provisioned, for a backtest of the history.
  [[nodiscard]] const ProvisionerConfig& worker_provisioning() const noexcept {
    return workers_provisioner_.config();
  }
  [[nodiscard]] std::string_view rule() const noexcept;  // what decides about workers now
  [[nodiscard]] const std::deque<LoadSample>& history() const noexcept { return history_; }
  [[nodiscard]] const std::deque<AuditEntry>& audit() const noexcept { return audit_; }

 private:
  void remember(const LoadSample& sample, std::int64_t steps);
  void learn_capacity(const LoadSample& sample) noexcept;
  void propose(Resource resource, std::int64_t wanted, const AuditEntry& reasons);
  void follow_similar_periods(const LoadSample& sample);
  void follow_provisioners(const LoadSample& sample);
  void follow_trend(const LoadSample& sample);
  [[nodiscard]] static AuditEntry reasons(const Forecaster& forecaster, std::optional<double> measured,
                                          std::string_view rule) noexcept;
  [[nodiscard]] bool documented() const noexcept { return config_.kind == ForecastKind::kSimilarPeriods; }

  AllocatorConfig config_;
  std::shared_ptr<Forecaster> rpm_;
  std::shared_ptr<Forecaster> connections_;
  Forecaster response_time_;
  Provisioner workers_provisioner_;
  Provisioner connections_provisioner_;
  std::array<Hysteresis, 2> hysteresis_;
  std::array<StartDelay, 2> start_delays_;
  RunningMean rpm_per_core_;
  double rpm_per_worker_;
  std::size_t capacity_;  // steps of history
  Sizes current_;
  bool replaying_ = false;
  std::int64_t next_id_ = 1;
  std::int64_t trend_steps_ = 0;  // steps in a row with the same trend, negative when decreasing
  std::deque<LoadSample> history_;
  std::deque<AuditEntry> audit_;
  std::vector<AuditEntry> proposals_;
};

}  // namespace resilience
