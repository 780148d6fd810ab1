// The breaker does step by step what a plain model of its rules does, over long random schedules.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "resilience/circuit_breaker.hpp"
#include "support/breaker_model.hpp"

namespace resilience {
namespace {

using testing::BreakerModel;

constexpr int kSchedules = 400;
constexpr int kSteps = 500;

class Schedule {
 public:
  Schedule(std::uint64_t seed, bool counted)
      : random_(seed), config_(choose(counted)), breaker_(config_, 0), model_(*config_) {}

  void step() {
    switch (below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        return start();
      case 6:
      case 7:
      case 8:
      case 9:
      case 10:
      case 11:
      case 12:
        return finish();
      case 13:
        return below(4) == 0 ? by_hand() : observe();
      default:
        now_ += pick({0, 1, 49, 50, 51, 500, 950, 1000, 5000, 30'000}) * kNanosPerMilli;
    }
  }

  void compare() {
    const BreakerSnapshot seen = breaker_.snapshot(now_);
    EXPECT_EQ(seen.state, model_.shown(now_));
    const WindowCounts expected = model_.window(now_);
    EXPECT_EQ(seen.window.calls, expected.calls);
    EXPECT_EQ(seen.window.failures, expected.failures);
    EXPECT_EQ(seen.window.slow, expected.slow);
    EXPECT_EQ(seen.window.cancelled, expected.cancelled);
    EXPECT_EQ(seen.consecutive_failures, model_.consecutive);
    const BreakerTotals& a = seen.totals;
    const BreakerTotals& b = model_.totals;
    EXPECT_EQ(std::vector({a.successes, a.failures, a.ignored, a.cancelled, a.slow, a.rejected, a.late}),
              std::vector({b.successes, b.failures, b.ignored, b.cancelled, b.slow, b.rejected, b.late}));
    const bool open = model_.state == BreakerState::kOpen || model_.state == BreakerState::kForcedOpen;
    EXPECT_EQ(breaker_.opened_until(), open ? model_.until : -1);
  }

  [[nodiscard]] BreakerState state() const { return model_.state; }

 private:
  struct Running {
    BreakerPermit permit;
    BreakerModel::Permit modelled;
    Nanos started;
  };

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  template <typename Value>
  Value pick(std::initializer_list<Value> values) {
    return values.begin()[below(static_cast<std::uint32_t>(values.size()))];
  }
  std::optional<double> maybe_rate() {
    return below(2) == 0 ? std::nullopt : std::optional(pick({0.1, 0.25, 1.0 / 3, 0.5, 0.6, 1.0}));
  }

  std::shared_ptr<const CircuitBreakerConfig> choose(bool counted) {
    auto config = std::make_shared<CircuitBreakerConfig>();
    config->failure_threshold = below(5);
    config->failure_rate_threshold = maybe_rate();
    if (below(2) == 0) {
      config->slow_call_duration = pick({100, 1000}) * kNanosPerMilli;
      config->slow_call_rate_threshold = maybe_rate();
    }
    config->minimum_calls = 1 + below(6);
    config->window_calls = counted ? 6 + below(7) : 0;
    config->monitor_window = pick({1, 10}) * kNanosPerSecond;
    config->recovery_timeout = pick({500, 5000}) * kNanosPerMilli;
    config->recovery_jitter = 0.0;
    config->recovery_backoff = pick({1.0, 2.0});
    config->max_recovery_timeout = 12 * kNanosPerSecond;
    config->success_threshold = 1 + below(3);
    config->half_open_requests = config->success_threshold + below(4);
    config->half_open_concurrency = 1 + below(4);
    config->probe_timeout = pick({200, 3000}) * kNanosPerMilli;
    EXPECT_FALSE(config->validate());
    return config;
  }

  void start() {
    BreakerPermit quick;
    const bool at_once = breaker_.try_acquire_closed(quick);
    const Admission admission = at_once ? Admission{true, quick, -1, std::nullopt} : breaker_.acquire(now_);
    const BreakerModel::Permit modelled = model_.acquire(now_);
    ASSERT_EQ(admission.admitted, modelled.admitted);
    if (admission.admitted) {
      running_.push_back({admission.permit, modelled, now_});
    } else {
      EXPECT_EQ(admission.retry_after, modelled.retry_after);
    }
  }

  void finish() {
    if (running_.empty()) {
      return start();
    }
    const auto chosen =
        running_.begin() + static_cast<std::ptrdiff_t>(below(static_cast<std::uint32_t>(running_.size())));
    const Running call = *chosen;
    running_.erase(chosen);
    const Outcome outcome =
        pick({Outcome::kSuccess, Outcome::kSuccess, Outcome::kSuccess, Outcome::kFailure, Outcome::kFailure,
              Outcome::kFailure, Outcome::kIgnored, Outcome::kCancelled});
    const Nanos duration = now_ - call.started;
    if (outcome != Outcome::kSuccess || !breaker_.record_quiet_success(call.permit, duration, now_)) {
      (void)breaker_.record(call.permit, outcome, duration, now_);
    }
    model_.record(call.modelled, outcome, duration, now_);
  }

  void observe() {
    const Outcome outcome = pick({Outcome::kSuccess, Outcome::kFailure, Outcome::kIgnored});
    const Nanos duration = pick({0, 100, 2000}) * kNanosPerMilli;
    (void)breaker_.record_external(outcome, duration, now_);
    const bool counts = model_.state == BreakerState::kClosed || model_.state == BreakerState::kMetricsOnly ||
                        model_.state == BreakerState::kDisabled;
    model_.record({true, counts ? model_.generation : UINT32_MAX, 0, -1}, outcome, duration, now_);
  }

  void by_hand() {
    switch (below(5)) {
      case 0: {
        const Nanos duration = pick({300, 4000, 1'000'000}) * kNanosPerMilli;
        (void)breaker_.trip(duration, now_);
        return model_.trip(duration, now_);
      }
      case 1: {
        const Nanos ttl = below(2) == 0 ? kForever : 700 * kNanosPerMilli;
        (void)breaker_.force_open(ttl, now_);
        return model_.force_open(ttl, now_);
      }
      case 2:
        (void)breaker_.disable(now_);
        return model_.by_hand(BreakerState::kDisabled);
      case 3:
        (void)breaker_.metrics_only(now_);
        return model_.by_hand(BreakerState::kMetricsOnly);
      default:
        (void)breaker_.reset(now_);
        return model_.by_hand(BreakerState::kClosed);
    }
  }

  std::mt19937_64 random_;
  std::shared_ptr<const CircuitBreakerConfig> config_;
  CircuitBreaker breaker_;
  BreakerModel model_;
  std::vector<Running> running_;
  Nanos now_ = 0;
};

class CircuitBreakerModel : public ::testing::TestWithParam<bool> {};

TEST_P(CircuitBreakerModel, AgreesOverTwoHundredThousandRandomSteps) {
  std::set<BreakerState> states;
  for (std::uint64_t seed = 0; seed < kSchedules; ++seed) {
    Schedule schedule(seed, GetParam());
    for (int step = 0; step < kSteps; ++step) {
      schedule.step();
      schedule.compare();
      states.insert(schedule.state());
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", step " << step;
    }
  }
  EXPECT_EQ(states.size(), kBreakerStates);
}

INSTANTIATE_TEST_SUITE_P(Windows, CircuitBreakerModel, ::testing::Bool(),
                         [](const auto& kind) { return kind.param ? "OfCalls" : "OfTime"; });

}  // namespace
}  // namespace resilience
