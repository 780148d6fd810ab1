#include "resilience/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace resilience {
namespace {

struct Wheel {
  TimerWheel wheel;
  std::vector<TimerNode> nodes;

  explicit Wheel(std::size_t count) : nodes(count) {}
  void arm(std::uint32_t index, Nanos deadline) {
    nodes[index].deadline = deadline;
    wheel.arm(nodes, index);
  }
  std::vector<std::uint32_t> expire(Nanos now, bool exact, std::size_t budget = SIZE_MAX) {
    std::vector<std::uint32_t> fired;
    const auto expired = [&](std::uint32_t index) { fired.push_back(index); };
    done =
        exact ? wheel.expire_exactly(nodes, now, budget, expired) : wheel.expire(nodes, now, budget, expired);
    return fired;
  }
  bool done = true;
};

TEST(TimerWheel, FiresNothingEarlyAndNothingLaterThanATick) {
  Wheel wheel(3);
  wheel.arm(0, kNanosPerSecond);
  wheel.arm(1, 3'600 * kNanosPerSecond);
  wheel.arm(2, 400 * 24 * 3'600 * kNanosPerSecond);
  for (std::uint32_t index = 0; index < 3; ++index) {
    const Nanos deadline = wheel.nodes[index].deadline;
    EXPECT_TRUE(wheel.expire(deadline - 1, true).empty());
    EXPECT_EQ(wheel.wheel.first_deadline(wheel.nodes), deadline);
    EXPECT_EQ(wheel.expire(deadline + TimerWheel::kTick, false), std::vector<std::uint32_t>{index});
  }
  EXPECT_EQ(wheel.wheel.earliest(), kForever);
}

TEST(TimerWheel, ExactExpiryFiresAtTheVeryNanosecond) {
  Wheel wheel(2);
  wheel.arm(0, 1'000);
  wheel.arm(1, 1'001);
  EXPECT_EQ(wheel.expire(1'000, true), std::vector<std::uint32_t>{0});
  EXPECT_EQ(wheel.expire(1'001, true), std::vector<std::uint32_t>{1});
}

TEST(TimerWheel, ADisarmedNodeNeverFires) {
  Wheel wheel(2);
  wheel.arm(0, 1'000);
  wheel.arm(1, 1'000);
  wheel.wheel.disarm(wheel.nodes, 0);
  wheel.wheel.disarm(wheel.nodes, 0);
  EXPECT_EQ(wheel.expire(kNanosPerSecond, false), std::vector<std::uint32_t>{1});
  EXPECT_EQ(wheel.wheel.size(), 0U);
}

TEST(TimerWheel, ASpentBudgetLeavesTheRestForTheNextCall) {
  Wheel wheel(10);
  for (std::uint32_t index = 0; index < 10; ++index) {
    wheel.arm(index, kNanosPerSecond);
  }
  std::set<std::uint32_t> fired;
  for (int calls = 0; fired.size() < 10 || !wheel.done; ++calls) {
    ASSERT_LT(calls, 20);
    for (const std::uint32_t index : wheel.expire(2 * kNanosPerSecond, false, 3)) {
      EXPECT_TRUE(fired.insert(index).second);
    }
  }
}

TEST(TimerWheel, RandomDeadlinesAndJumpsFireExactlyWhatIsDue) {
  std::mt19937_64 random(11);
  Wheel wheel(400);
  std::multiset<std::pair<Nanos, std::uint32_t>> armed;
  std::vector<std::uint32_t> free;
  for (std::uint32_t index = 0; index < 400; ++index) {
    free.push_back(index);
  }
  Nanos now = 5;
  for (int step = 0; step < 20'000; ++step) {
    if (!free.empty() && random() % 3 != 0) {
      const std::uint32_t index = free.back();
      free.pop_back();
      const Nanos deadline = now + static_cast<Nanos>(random() >> (20 + random() % 44));
      wheel.arm(index, deadline);
      armed.emplace(deadline, index);
    } else {
      now += static_cast<Nanos>(random() >> (24 + random() % 40));
      for (const std::uint32_t index : wheel.expire(now, true)) {
        ASSERT_LE(wheel.nodes[index].deadline, now);
        ASSERT_EQ(armed.erase({wheel.nodes[index].deadline, index}), 1U);
        free.push_back(index);
      }
      ASSERT_TRUE(armed.empty() || armed.begin()->first > now) << "something due did not fire";
      ASSERT_EQ(wheel.wheel.first_deadline(wheel.nodes), armed.empty() ? kForever : armed.begin()->first);
    }
    ASSERT_EQ(wheel.wheel.size(), armed.size());
  }
}

}  // namespace
}  // namespace resilience
