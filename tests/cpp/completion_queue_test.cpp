#include "resilience/completion_queue.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace resilience {
namespace {

TEST(CompletionQueue, WakesOnceForAllThatOneDrainBrings) {
  int wakes = 0;
  CompletionQueue queue([&] { ++wakes; });
  for (std::int64_t value = 0; value < 5; ++value) {
    EXPECT_TRUE(queue.push({7, value}));
  }
  EXPECT_EQ(wakes, 1);
  std::vector<Completion> out;
  queue.drain(out);
  ASSERT_EQ(out.size(), 5U);
  EXPECT_EQ(out[4].value, 4);
  EXPECT_EQ(out[4].handler, 7U);
  queue.push({});
  EXPECT_EQ(wakes, 2);
}

TEST(CompletionQueue, AClosedQueueWakesNobody) {
  int wakes = 0;
  CompletionQueue queue([&] { ++wakes; });
  queue.push({});
  queue.close();
  EXPECT_FALSE(queue.push({}));
  EXPECT_EQ(wakes, 1);
  std::vector<Completion> out;
  queue.drain(out);
  EXPECT_TRUE(out.empty());
}

TEST(CompletionQueue, AWaiterReturnsOnAPushAndOnClose) {
  CompletionQueue queue([] {});
  std::thread pusher([&] { queue.push({1, 2}); });
  EXPECT_TRUE(queue.wait(60 * kNanosPerSecond));
  pusher.join();
  std::vector<Completion> out;
  queue.drain(out);
  EXPECT_EQ(out.size(), 1U);
  EXPECT_FALSE(queue.wait(1));
  std::thread closer([&] { queue.close(); });
  EXPECT_FALSE(queue.wait(60 * kNanosPerSecond));
  closer.join();
  EXPECT_TRUE(queue.closed());
}

}  // namespace
}  // namespace resilience
