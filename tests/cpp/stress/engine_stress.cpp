// Many threads on one engine and one queue, made to be run under the thread sanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "resilience/completion_queue.hpp"
#include "resilience/engine.hpp"

namespace resilience {
namespace {

constexpr int kThreads = 4;
constexpr int kRounds = 2'000;

TEST(EngineStress, EachTimerRunsOnceOrIsCancelledWhileTheEngineStopsAndStarts) {
  Engine engine;
  auto& clock = *SystemClock::instance();
  std::atomic<int> ran{0};
  std::atomic<int> cancelled{0};
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < kThreads; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      for (int i = 0; i < kRounds; ++i) {
        const auto id =
            engine.schedule(clock, clock.now() + static_cast<Nanos>(random() % 200'000), [&] { ++ran; });
        if (random() % 3 == 0 && engine.cancel(clock, id)) {
          ++cancelled;
        }
        if (random() % 500 == 0) {
          engine.stop();
        }
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  engine.post([] {});  // in case the last word was a stop
  while (engine.pending_timers() > 0) {
    std::this_thread::yield();
  }
  engine.shut_down();
  EXPECT_EQ(ran + cancelled, kThreads * kRounds);
}

TEST(CompletionQueueStress, NothingIsLostBetweenPushersAndOneDrainer) {
  std::atomic<int> wakes{0};
  CompletionQueue queue([&] { ++wakes; });
  std::vector<std::thread> pushers;
  for (int t = 0; t < kThreads; ++t) {
    pushers.emplace_back([&] {
      for (std::int64_t i = 0; i < kRounds; ++i) {
        queue.push({1, i});
      }
    });
  }
  std::vector<Completion> batch;
  int drained = 0;
  int drains = 0;
  while (drained < kThreads * kRounds && queue.wait(60 * kNanosPerSecond)) {
    queue.drain(batch);
    drained += static_cast<int>(batch.size());
    ++drains;
  }
  for (auto& pusher : pushers) {
    pusher.join();
  }
  EXPECT_EQ(drained, kThreads * kRounds);
  EXPECT_EQ(wakes, drains);
}

}  // namespace
}  // namespace resilience
