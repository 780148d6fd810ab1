#include "resilience/deadline_queue.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "resilience/random.hpp"

namespace resilience {
namespace {

TEST(DeadlineQueue, TakesWhatIsDueInOrderAndNothingEarly) {
  DeadlineQueue queue;
  DeadlineLink first;
  DeadlineLink second;
  queue.arm(first, 10);
  queue.arm(second, 20);
  EXPECT_EQ(queue.take_due(9), nullptr);
  EXPECT_EQ(queue.take_due(10), &first);
  EXPECT_FALSE(first.armed());
  EXPECT_EQ(queue.take_due(19), nullptr);
  EXPECT_EQ(queue.take_due(1'000), &second);
  EXPECT_TRUE(queue.empty());
}

TEST(DeadlineQueue, DisarmsAnywhereInTheQueue) {
  DeadlineQueue queue;
  std::vector<DeadlineLink> links(3);
  for (std::size_t i = 0; i < links.size(); ++i) {
    queue.arm(links[i], static_cast<Nanos>(i));
  }
  DeadlineQueue::disarm(links[1]);
  EXPECT_FALSE(links[1].armed());
  EXPECT_EQ(queue.take_due(5), &links[0]);
  EXPECT_EQ(queue.take_due(5), &links[2]);
  EXPECT_EQ(queue.take_due(5), nullptr);
}

TEST(DeadlineQueue, StaysSortedWhenAClockWasReadLate) {
  DeadlineQueue queue;
  DeadlineLink late;
  DeadlineLink early;
  queue.arm(late, 20);
  queue.arm(early, 10);
  EXPECT_EQ(queue.front(), &early);
  EXPECT_EQ(queue.take_due(20), &early);
  EXPECT_EQ(queue.take_due(20), &late);
}

TEST(DeadlineQueue, AHundredThousandTimersComeAndGoInAnyOrder) {
  DeadlineQueue queue;
  SplitMix64 random(5);
  std::vector<DeadlineLink> links(100'000);
  for (std::size_t i = 0; i < links.size(); ++i) {
    queue.arm(links[i], static_cast<Nanos>(i));
  }
  std::size_t disarmed = 0;
  for (auto& link : links) {
    if (random.next() % 2 == 0) {
      DeadlineQueue::disarm(link);
      ++disarmed;
    }
  }
  std::size_t fired = 0;
  Nanos last = -1;
  while (DeadlineLink* link = queue.take_due(kForever)) {
    ASSERT_GT(link->deadline, last);
    last = link->deadline;
    ++fired;
  }
  EXPECT_EQ(fired + disarmed, links.size());
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace resilience
