#include "resilience/engine.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

namespace resilience {
namespace {

Clock& system_clock() { return *SystemClock::instance(); }

// Runs a task on the engine and waits for it: everything posted before has then run too.
void settle(Engine& engine) {
  std::promise<void> done;
  ASSERT_TRUE(engine.post([&] { done.set_value(); }));
  done.get_future().wait();
}

TEST(Engine, StartsOnFirstUseOnly) {
  Engine engine;
  EXPECT_FALSE(engine.running());
  settle(engine);
  EXPECT_TRUE(engine.running());
}

TEST(Engine, RunsTimersInOrderOfTheirDeadlinesAndNeverEarly) {
  Engine engine;
  const Nanos start = system_clock().now();
  std::vector<int> order;
  std::vector<Nanos> fired;
  std::promise<void> done;
  const auto note = [&](int which) {
    order.push_back(which);
    fired.push_back(system_clock().now());
  };
  const Nanos later = start + 6 * kNanosPerMilli;
  const Nanos sooner = start + 3 * kNanosPerMilli;
  engine.schedule(system_clock(), later, [&] {
    note(2);
    done.set_value();
  });
  engine.schedule(system_clock(), sooner, [&] { note(1); });
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_GE(fired[0], sooner);
  EXPECT_GE(fired[1], later);
}

TEST(Engine, ACancelledTimerNeverRuns) {
  Engine engine;
  std::promise<void> cancelled;
  engine.schedule(system_clock(), system_clock().now(), [&] { cancelled.get_future().wait(); });
  std::atomic<bool> ran{false};
  const auto id = engine.schedule(system_clock(), system_clock().now() + kNanosPerMilli, [&] { ran = true; });
  EXPECT_TRUE(engine.cancel(system_clock(), id));
  EXPECT_FALSE(engine.cancel(system_clock(), id));
  cancelled.set_value();  // until here the engine's thread could run nothing
  std::promise<void> done;
  engine.schedule(system_clock(), system_clock().now() + 2 * kNanosPerMilli, [&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_FALSE(ran);
  EXPECT_EQ(engine.pending_timers(), 0U);
}

TEST(Engine, ATimerThatNeverComesDoesNotOverflow) {
  Engine engine;
  const auto id = engine.schedule(system_clock(), kForever, [] { FAIL(); });
  settle(engine);
  EXPECT_TRUE(engine.cancel(system_clock(), id));
}

TEST(Engine, AManualClocksTimersNeedNoThread) {
  Engine engine;
  ManualClock clock;
  int runs = 0;
  engine.schedule(clock, 10, [&] { ++runs; });
  const auto dropped = engine.schedule(clock, 20, [&] { ++runs; });
  EXPECT_TRUE(engine.cancel(clock, dropped));
  clock.advance(30);
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(engine.running());
}

TEST(Engine, ATaskThatThrowsIsCountedAndHarmsNothing) {
  Engine engine;
  engine.post([] { throw std::runtime_error("broken"); });
  settle(engine);
  EXPECT_EQ(engine.failed_tasks(), 1U);
}

TEST(Engine, StartsAgainAfterStopAndKeepsItsTimers) {
  Engine engine;
  std::promise<void> done;
  engine.schedule(system_clock(), system_clock().now() + 2 * kNanosPerMilli, [&] { done.set_value(); });
  engine.stop();
  EXPECT_FALSE(engine.running());
  settle(engine);
  done.get_future().wait();
  EXPECT_TRUE(engine.running());
}

TEST(Engine, RefusesEverythingOnceShutDown) {
  Engine engine;
  settle(engine);
  engine.shut_down();
  EXPECT_FALSE(engine.post([] { FAIL(); }));
  EXPECT_EQ(engine.schedule(system_clock(), 0, [] { FAIL(); }), 0U);
  EXPECT_FALSE(engine.running());
  engine.shut_down();
}

TEST(Engine, ATaskMayStopItsOwnEngine) {
  Engine engine;
  std::promise<void> done;
  engine.post([&] {
    engine.stop();
    done.set_value();
  });
  done.get_future().wait();
  EXPECT_FALSE(engine.running());
}

TEST(Engine, AForkedChildStartsFromNothing) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer can't follow threads that a forked child starts";
#endif
  Engine& engine = Engine::instance();
  std::atomic<int> in_parent{0};
  engine.schedule(system_clock(), system_clock().now() + 3'600 * kNanosPerSecond, [&] { ++in_parent; });
  settle(engine);
  const auto generation = engine.generation();
  const pid_t child = fork();
  if (child == 0) {
    const bool clean =
        !engine.running() && engine.pending_timers() == 0 && engine.generation() == generation + 1;
    std::promise<void> done;
    const bool posted = engine.post([&] { done.set_value(); });
    if (posted) {
      done.get_future().wait();
    }
    _exit(clean && posted ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(engine.running());
  EXPECT_EQ(engine.pending_timers(), 1U);
  EXPECT_EQ(engine.generation(), generation);
}

TEST(Periodic, RunsAtAFixedRateUntilItsHandleDies) {
  Engine engine;
  const auto clock = std::make_shared<ManualClock>();
  std::vector<Nanos> runs;
  {
    const Periodic periodic(engine, clock, 10, [&] { runs.push_back(clock->now()); });
    clock->advance(35);
  }
  clock->advance(100);
  EXPECT_EQ(runs, (std::vector<Nanos>{10, 20, 30}));
  EXPECT_EQ(clock->pending(), 0U);
}

TEST(Periodic, GoesOnAfterARunThatThrows) {
  Engine engine;
  std::promise<void> done;
  int runs = 0;
  const Periodic periodic(engine, SystemClock::instance(), kNanosPerMilli, [&] {
    if (++runs == 2) {
      done.set_value();
    }
    throw std::runtime_error("broken");
  });
  done.get_future().wait();
  EXPECT_GE(engine.failed_tasks(), 1U);
}

}  // namespace
}  // namespace resilience
