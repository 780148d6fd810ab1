#include "resilience/circuit_breaker.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace resilience {
namespace {

constexpr Nanos kSecond = kNanosPerSecond;

// A breaker and its time, driven by hand.
class Breaker {
 public:
  explicit Breaker(CircuitBreakerConfig settings = {}) : machine(share(settings), 0) {}

  static std::shared_ptr<const CircuitBreakerConfig> share(CircuitBreakerConfig settings) {
    settings.recovery_jitter = 0.0;
    EXPECT_TRUE(settings.validate().ok()) << settings.validate().message();
    return std::make_shared<const CircuitBreakerConfig>(settings);
  }
  Admission acquire() { return machine.acquire(now); }
  Recorded end(const Admission& admission, Outcome outcome, Nanos duration = 0) {
    EXPECT_TRUE(admission.admitted);
    return machine.record(admission.permit, outcome, duration, now);
  }
  Recorded run(Outcome outcome, Nanos duration = 0) { return end(acquire(), outcome, duration); }
  void open() {
    for (int i = 0; i < 3; ++i) {
      run(Outcome::kFailure);
    }
    ASSERT_EQ(state(), BreakerState::kOpen);
  }
  void half_open() {
    open();
    now += 30 * kSecond;
  }
  BreakerState state() { return machine.state(now); }

  Nanos now = 0;
  CircuitBreaker machine;
};

TEST(CircuitBreaker, OpensOnConsecutiveFailuresAndNotOnScatteredOnes) {
  Breaker breaker;
  for (int i = 0; i < 10; ++i) {
    breaker.run(Outcome::kFailure);
    breaker.run(Outcome::kFailure);
    breaker.run(Outcome::kSuccess);
  }
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  breaker.run(Outcome::kFailure);
  breaker.run(Outcome::kFailure);
  const Recorded last = breaker.run(Outcome::kFailure);
  ASSERT_TRUE(last.change.has_value());
  EXPECT_EQ(last.change->to, BreakerState::kOpen);
}

TEST(CircuitBreaker, OpensAtTheFailureRateOnceThereAreEnoughCalls) {
  CircuitBreakerConfig settings;
  settings.failure_threshold = 0;
  settings.failure_rate_threshold = 0.5;
  settings.minimum_calls = 4;
  Breaker breaker(settings);
  breaker.run(Outcome::kFailure);
  breaker.run(Outcome::kFailure);
  breaker.run(Outcome::kSuccess);
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  breaker.run(Outcome::kSuccess);  // the fourth call makes two of four count
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, CountsARateOfExactlyTheThresholdDespiteRounding) {
  CircuitBreakerConfig settings;
  settings.failure_threshold = 0;
  settings.failure_rate_threshold = 0.07;
  settings.minimum_calls = 100;
  Breaker breaker(settings);
  for (int i = 0; i < 7; ++i) {
    breaker.run(Outcome::kFailure);
  }
  for (int i = 0; i < 93; ++i) {
    ASSERT_EQ(breaker.state(), BreakerState::kClosed);
    breaker.run(Outcome::kSuccess);
  }
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, OpensAtTheSlowCallRate) {
  CircuitBreakerConfig settings;
  settings.failure_threshold = 0;
  settings.slow_call_duration = kSecond;
  settings.slow_call_rate_threshold = 1.0;
  settings.minimum_calls = 2;
  Breaker breaker(settings);
  EXPECT_TRUE(breaker.run(Outcome::kSuccess, kSecond).slow);
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  breaker.run(Outcome::kSuccess, 2 * kSecond);
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, LooksAtTheLastCallsInCountMode) {
  CircuitBreakerConfig settings;
  settings.failure_threshold = 0;
  settings.failure_rate_threshold = 0.5;
  settings.minimum_calls = 4;
  settings.window_calls = 4;
  Breaker breaker(settings);
  breaker.run(Outcome::kFailure);
  for (int i = 0; i < 4; ++i) {
    breaker.run(Outcome::kSuccess);  // pushes the failure out
  }
  breaker.run(Outcome::kFailure);
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  breaker.run(Outcome::kFailure);
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, ALateSuccessDoesNotCloseAnOpenBreaker) {
  Breaker breaker;
  const Admission early = breaker.acquire();
  breaker.open();
  const Recorded recorded = breaker.end(early, Outcome::kSuccess);
  EXPECT_TRUE(recorded.late);
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
  EXPECT_EQ(breaker.machine.snapshot(breaker.now).totals.late, 1U);
}

TEST(CircuitBreaker, ALateFailureDoesNotRestartTheOpenTime) {
  Breaker breaker;
  const Admission early = breaker.acquire();
  breaker.open();
  breaker.now += 29 * kSecond;
  EXPECT_TRUE(breaker.end(early, Outcome::kFailure).late);
  EXPECT_EQ(breaker.machine.opened_until(), 30 * kSecond);
  breaker.now += kSecond;
  EXPECT_TRUE(breaker.acquire().admitted);
}

TEST(CircuitBreaker, ACallAdmittedWhileClosedIsNoProbe) {
  Breaker breaker;
  const Admission early = breaker.acquire();
  breaker.half_open();
  const Admission probe = breaker.acquire();
  EXPECT_TRUE(breaker.end(early, Outcome::kSuccess).late);
  EXPECT_TRUE(breaker.end(early, Outcome::kSuccess).late);
  EXPECT_EQ(breaker.state(), BreakerState::kHalfOpen);
  EXPECT_FALSE(breaker.end(probe, Outcome::kSuccess).late);
}

TEST(CircuitBreaker, CancellationIsNoVerdictButASlowOneIsSeen) {
  CircuitBreakerConfig settings;
  settings.slow_call_duration = kSecond;
  settings.slow_call_rate_threshold = 0.5;
  settings.minimum_calls = 10;
  Breaker breaker(settings);
  for (int i = 0; i < 20; ++i) {
    breaker.run(Outcome::kCancelled);
  }
  EXPECT_EQ(breaker.machine.window(breaker.now).calls, 0U);
  for (int i = 0; i < 10; ++i) {
    breaker.run(Outcome::kCancelled, kSecond);
  }
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, CancellationDoesNotWipeConsecutiveFailures) {
  Breaker breaker;
  breaker.run(Outcome::kFailure);
  breaker.run(Outcome::kFailure);
  breaker.run(Outcome::kCancelled);
  breaker.run(Outcome::kIgnored);
  breaker.run(Outcome::kFailure);
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, AHungProbeCannotWedgeIt) {
  CircuitBreakerConfig settings;
  settings.probe_timeout = 5 * kSecond;
  Breaker breaker(settings);
  breaker.half_open();
  const Admission hung = breaker.acquire();
  const Admission refused = breaker.acquire();
  EXPECT_FALSE(refused.admitted);
  EXPECT_EQ(refused.retry_after, 5 * kSecond);
  breaker.now += 5 * kSecond;
  breaker.run(Outcome::kSuccess);
  breaker.run(Outcome::kSuccess);
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  EXPECT_TRUE(breaker.end(hung, Outcome::kFailure).late);
}

TEST(CircuitBreaker, AProbeWithoutVerdictGivesItsPlaceBack) {
  for (const Outcome outcome : {Outcome::kIgnored, Outcome::kCancelled}) {
    Breaker breaker;
    breaker.half_open();
    for (int i = 0; i < 10; ++i) {
      breaker.run(outcome);
      EXPECT_EQ(breaker.state(), BreakerState::kHalfOpen);
    }
    breaker.run(Outcome::kSuccess);
    breaker.run(Outcome::kSuccess);
    EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  }
}

TEST(CircuitBreaker, GivesItsVerdictWithoutWaitingForTheOtherProbes) {
  CircuitBreakerConfig settings;
  settings.half_open_requests = 5;
  settings.half_open_concurrency = 5;
  Breaker closing(settings);
  closing.half_open();
  const std::vector<Admission> probes = {closing.acquire(), closing.acquire(), closing.acquire()};
  closing.end(probes[0], Outcome::kSuccess);
  closing.end(probes[1], Outcome::kSuccess);
  EXPECT_EQ(closing.state(), BreakerState::kClosed);
  EXPECT_TRUE(closing.end(probes[2], Outcome::kFailure).late);
}

TEST(CircuitBreaker, ReopensOnOneFailureTooMany) {
  Breaker breaker;
  breaker.half_open();
  breaker.run(Outcome::kFailure);  // 1 > 2 − 2
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
  EXPECT_EQ(breaker.machine.opened_until(), 60 * kSecond);
}

TEST(CircuitBreaker, LetsNoHerdThroughOnRecovery) {
  Breaker breaker;
  breaker.half_open();
  std::vector<Admission> admitted;
  for (int i = 0; i < 50; ++i) {
    const Admission admission = breaker.acquire();
    if (admission.admitted) {
      admitted.push_back(admission);
    } else {
      EXPECT_GT(admission.retry_after, 0);
    }
  }
  EXPECT_EQ(admitted.size(), 1U);
}

TEST(CircuitBreaker, OpensForATimeWithJitterThatBacksOffUpToItsMaximum) {
  CircuitBreakerConfig settings;
  settings.recovery_jitter = 0.5;
  settings.recovery_backoff = 2.0;
  settings.max_recovery_timeout = 100 * kSecond;
  ASSERT_TRUE(settings.validate().ok());
  CircuitBreaker machine(std::make_shared<const CircuitBreakerConfig>(settings), 0);
  Nanos now = 0;
  bool differ = false;
  for (const Nanos longest : {30, 60, 100, 100}) {
    while (machine.opened_until() <= now) {
      (void)machine.record(machine.acquire(now).permit, Outcome::kFailure, 0, now);
    }
    const Nanos length = machine.opened_until() - now;
    EXPECT_LE(length, longest * kSecond);
    EXPECT_GE(length, longest * kSecond / 2);
    differ = differ || length % kSecond != 0;
    now = machine.opened_until();
  }
  EXPECT_TRUE(differ);
}

TEST(CircuitBreaker, TripsForAsLongAsItIsToldWithinItsMaximum) {
  Breaker breaker;
  EXPECT_FALSE(breaker.machine.trip(0, breaker.now).has_value());
  EXPECT_FALSE(breaker.machine.trip(-5 * kSecond, breaker.now).has_value());
  EXPECT_TRUE(breaker.machine.trip(kForever, breaker.now).has_value());
  EXPECT_EQ(breaker.machine.opened_until(), 300 * kSecond);
  breaker.machine.reset(breaker.now);
  breaker.machine.trip(90 * kSecond, breaker.now);
  breaker.machine.trip(10 * kSecond, breaker.now);  // doesn't shorten
  EXPECT_EQ(breaker.machine.opened_until(), 90 * kSecond);
  breaker.now = 90 * kSecond;
  EXPECT_TRUE(breaker.acquire().admitted);
  EXPECT_EQ(breaker.state(), BreakerState::kHalfOpen);
}

TEST(CircuitBreaker, ForcedOpenEndsInClosedWhenItsTimeIsOver) {
  Breaker breaker;
  breaker.machine.force_open(10 * kSecond, breaker.now);
  EXPECT_FALSE(breaker.acquire().admitted);
  EXPECT_FALSE(breaker.machine.trip(kSecond, breaker.now).has_value());
  breaker.now = 10 * kSecond;
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  const Admission admission = breaker.acquire();
  EXPECT_TRUE(admission.admitted);
  EXPECT_EQ(admission.change->from, BreakerState::kForcedOpen);
}

TEST(CircuitBreaker, MetricsOnlyRecordsAndNeverRejectsAndDisabledRecordsNothing) {
  Breaker breaker;
  breaker.machine.metrics_only(breaker.now);
  for (int i = 0; i < 10; ++i) {
    breaker.run(Outcome::kFailure);
  }
  EXPECT_EQ(breaker.state(), BreakerState::kMetricsOnly);
  EXPECT_EQ(breaker.machine.window(breaker.now).failures, 10U);
  breaker.machine.disable(breaker.now);
  breaker.run(Outcome::kFailure);
  EXPECT_EQ(breaker.machine.snapshot(breaker.now).totals.failures, 10U);
}

TEST(CircuitBreaker, KeepsItsCountsWhenOpeningAndClearsThemWhenClosing) {
  Breaker breaker;
  breaker.half_open();
  EXPECT_EQ(breaker.machine.window(0).failures, 3U);
  breaker.run(Outcome::kSuccess);
  breaker.run(Outcome::kSuccess);
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  EXPECT_EQ(breaker.machine.window(breaker.now).calls, 0U);
}

TEST(CircuitBreaker, AHealthCheckClosesItEarlyUnlessItIsHeld) {
  Breaker breaker;
  EXPECT_FALSE(breaker.machine.health_succeeded(breaker.now).has_value());
  breaker.open();
  breaker.machine.hold_open();
  EXPECT_FALSE(breaker.machine.health_succeeded(breaker.now).has_value());
  breaker.machine.reset(breaker.now);
  breaker.open();
  EXPECT_TRUE(breaker.machine.health_succeeded(breaker.now).has_value());
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
}

TEST(CircuitBreaker, TakesNewSettingsWithoutLosingItsState) {
  Breaker breaker;
  breaker.run(Outcome::kFailure);
  CircuitBreakerConfig settings;
  settings.failure_threshold = 2;
  breaker.machine.reconfigure(Breaker::share(settings));
  breaker.run(Outcome::kFailure);
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
}

TEST(CircuitBreaker, AccountsForTheTimeInEachState) {
  Breaker breaker;
  breaker.now = 5 * kSecond;
  breaker.open();
  breaker.now = 40 * kSecond;
  breaker.acquire();
  const BreakerSnapshot now = breaker.machine.snapshot(breaker.now);
  EXPECT_EQ(now.time_in_state[0], 5 * kSecond);
  EXPECT_EQ(now.time_in_state[1], 35 * kSecond);
}

TEST(CircuitBreaker, ConservesTotalsOverThreads) {
  Breaker breaker;
  constexpr int kThreads = 4;
  constexpr int kCalls = 20'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&breaker, t] {
      for (int i = 0; i < kCalls; ++i) {
        const Admission admission = breaker.machine.acquire(0);
        if (admission.admitted) {
          const Outcome outcome = (i + t) % 7 == 0 ? Outcome::kFailure : Outcome::kSuccess;
          (void)breaker.machine.record(admission.permit, outcome, i, 0);
        }
        if (i % 1000 == 999) {
          breaker.machine.reset(0);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const BreakerTotals totals = breaker.machine.snapshot(0).totals;
  EXPECT_EQ(totals.successes + totals.failures + totals.late + totals.rejected,
            static_cast<std::uint64_t>(kThreads) * kCalls);
}

TEST(CircuitBreaker, NamesWhatIsWrongWithASetting) {
  CircuitBreakerConfig settings;
  settings.failure_rate_threshold = 60.0;
  EXPECT_EQ(settings.validate().message(), "failure_rate_threshold must be a fraction in (0, 1], got 60");
  settings = {};
  settings.half_open_requests = 1;
  EXPECT_EQ(settings.validate().argument, "half_open_requests");
  settings = {};
  settings.slow_call_rate_threshold = 0.5;
  EXPECT_EQ(settings.validate().argument, "slow_call_duration");
}

TEST(CircuitBreaker, StaysSmallWhileUncontended) {
  Breaker breaker;
  breaker.run(Outcome::kSuccess);
  EXPECT_LE(breaker.machine.bytes(), 820U);
}

}  // namespace
}  // namespace resilience
