#include "resilience/bulkhead.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "resilience/random.hpp"

namespace resilience {
namespace {

TEST(Bulkhead, AdmitsSoManyAndNoMore) {
  Bulkhead bulkhead({.max_concurrent = 2});
  EXPECT_TRUE(bulkhead.try_acquire());
  EXPECT_TRUE(bulkhead.try_acquire());
  EXPECT_FALSE(bulkhead.try_acquire());
  EXPECT_FALSE(bulkhead.enqueue(0).has_value()) << "nobody may wait by default";
  EXPECT_FALSE(bulkhead.release().has_value());
  EXPECT_TRUE(bulkhead.try_acquire());
}

TEST(Bulkhead, HandsAFreedPlaceToTheFirstWaiter) {
  Bulkhead bulkhead({.max_concurrent = 1, .max_waiting = 2});
  ASSERT_TRUE(bulkhead.try_acquire());
  const auto first = bulkhead.enqueue(0);
  const auto second = bulkhead.enqueue(0);
  EXPECT_FALSE(bulkhead.enqueue(0).has_value());
  EXPECT_EQ(bulkhead.release(), first);
  EXPECT_EQ(bulkhead.in_flight(), 1);
  EXPECT_FALSE(bulkhead.try_acquire()) << "a newcomer doesn't overtake the queue";
  EXPECT_EQ(bulkhead.release(), second);
  EXPECT_EQ(bulkhead.release(), std::nullopt);
  EXPECT_EQ(bulkhead.in_flight(), 0);
}

TEST(Bulkhead, ServesHigherPriorityFirstAndEqualsInOrder) {
  Bulkhead bulkhead({.max_concurrent = 1, .max_waiting = 10});
  ASSERT_TRUE(bulkhead.try_acquire());
  const auto low = bulkhead.enqueue(-1);
  const auto first = bulkhead.enqueue(0);
  const auto high = bulkhead.enqueue(5);
  const auto second = bulkhead.enqueue(0);
  EXPECT_EQ(bulkhead.release(), high);
  EXPECT_EQ(bulkhead.release(), first);
  EXPECT_EQ(bulkhead.release(), second);
  EXPECT_EQ(bulkhead.release(), low);
}

TEST(Bulkhead, AWaiterThatLeavesTakesNoPlaceWithIt) {
  Bulkhead bulkhead({.max_concurrent = 1, .max_waiting = 2});
  ASSERT_TRUE(bulkhead.try_acquire());
  const auto first = bulkhead.enqueue(0);
  const auto second = bulkhead.enqueue(0);
  EXPECT_TRUE(bulkhead.leave(*first));
  EXPECT_EQ(bulkhead.release(), second);
  EXPECT_FALSE(bulkhead.leave(*second)) << "served already: it has to release";
  EXPECT_EQ(bulkhead.release(), std::nullopt);
  EXPECT_EQ(bulkhead.in_flight(), 0);
}

TEST(Bulkhead, GrowingServesWaitersAndShrinkingWaitsForCallsToEnd) {
  Bulkhead bulkhead({.max_concurrent = 1, .max_waiting = 3});
  ASSERT_TRUE(bulkhead.try_acquire());
  const auto first = bulkhead.enqueue(0);
  const auto second = bulkhead.enqueue(0);
  EXPECT_EQ(bulkhead.resize({.max_concurrent = 3, .max_waiting = 3}), (std::vector<Ticket>{*first, *second}));
  EXPECT_TRUE(bulkhead.resize({.max_concurrent = 1, .max_waiting = 3}).empty());
  EXPECT_EQ(bulkhead.in_flight(), 3);
  const auto third = bulkhead.enqueue(0);
  EXPECT_EQ(bulkhead.release(), std::nullopt);
  EXPECT_EQ(bulkhead.release(), std::nullopt);
  EXPECT_EQ(bulkhead.release(), third);
}

TEST(Bulkhead, EveryPlaceIsBackAfterRandomArrivalsAndCancels) {
  Bulkhead bulkhead({.max_concurrent = 8, .max_waiting = 64});
  SplitMix64 random(2026);
  std::int64_t running = 0;
  std::deque<Ticket> waiting;
  const auto served = [&](const std::optional<Ticket>& ticket) {
    if (ticket) {
      ++running;
      std::erase(waiting, *ticket);
    }
  };
  for (int step = 0; step < 100'000; ++step) {
    const auto draw = random.next() % 3;
    if (draw == 0 && running > 0) {
      --running;
      served(bulkhead.release());
    } else if (draw == 1 && !waiting.empty()) {
      const auto index = static_cast<std::ptrdiff_t>(random.next() % waiting.size());
      ASSERT_TRUE(bulkhead.leave(waiting[static_cast<std::size_t>(index)]));
      waiting.erase(waiting.begin() + index);
    } else if (bulkhead.try_acquire()) {
      ++running;
    } else if (const auto ticket = bulkhead.enqueue(static_cast<std::int64_t>(random.next() % 3))) {
      waiting.push_back(*ticket);
    }
    ASSERT_EQ(bulkhead.in_flight(), running);
    ASSERT_EQ(bulkhead.waiting(), static_cast<std::int64_t>(waiting.size()));
    ASSERT_LE(running, 8);
  }
  while (running > 0) {
    --running;
    served(bulkhead.release());
  }
  EXPECT_EQ(bulkhead.in_flight(), 0);
  EXPECT_EQ(bulkhead.waiting(), 0);
}

TEST(BulkheadConfig, NamesTheArgumentItRefuses) {
  EXPECT_EQ((BulkheadConfig{.max_concurrent = 0}).validate().argument, "max_concurrent");
  EXPECT_EQ((BulkheadConfig{.max_concurrent = 1, .max_waiting = -1}).validate().argument, "max_waiting");
}

}  // namespace
}  // namespace resilience
