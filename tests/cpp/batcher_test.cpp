#include "resilience/batcher.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

namespace resilience {
namespace {

constexpr Nanos kMilli = kNanosPerMilli;

// A batcher with one queue, whose items are known by the order in which they were added.
class BatcherTest : public ::testing::Test {
 protected:
  BatcherConfig config;
  Nanos now = 0;

  void TearDown() override {
    if (queue_) {
      EXPECT_EQ(queue().size(), batcher().pending());
    }
  }

  Batcher& batcher() {
    if (!batcher_) {
      batcher_ = std::make_unique<Batcher>(config);
    }
    return *batcher_;
  }
  BatchQueue& queue() {
    if (!queue_) {
      queue_ = std::make_unique<BatchQueue>(batcher());
    }
    return *queue_;
  }

  bool add(std::int32_t priority = 0, Nanos timeout = kForever, double weight = 0.0) {
    BatchItem& item = items_.emplace_back();
    item.arrived = now;
    item.priority = priority;
    item.deadline = saturating_add(now, timeout);
    item.weight = weight;
    return queue().push(item);
  }
  void add_many(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(add());
    }
  }
  BatchItem& item(std::size_t index) { return items_[index]; }
  std::size_t index_of(const BatchItem* wanted) {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (&items_[i] == wanted) {
        return i;
      }
    }
    return SIZE_MAX;
  }

  // Does what decide() says; the indices of the batch that goes, none when nothing does.
  std::vector<std::size_t> send() {
    const auto decision = queue().decide(now);
    reason = decision.reason;
    ask_again = decision.ask_again;
    std::vector<std::size_t> sent;
    if (decision.size > 0) {
      std::vector<BatchItem*> taken;
      queue().take(decision.size, taken);
      for (const BatchItem* each : taken) {
        batcher().went(*each, now);
        sent.push_back(index_of(each));
      }
      batcher().batch_began(decision.reason);
    }
    return sent;
  }
  // Teaches the cost of a batch: per_batch + n · per_item.
  void teach(Nanos per_batch, Nanos per_item) {
    for (std::size_t n = 1; n <= 20; ++n) {
      add_many(1);
      queue().flush(DispatchReason::kFlush);
      ASSERT_EQ(send().size(), 1U);
      batcher().batch_ended(n, per_batch + static_cast<Nanos>(n) * per_item, true);
    }
    items_.clear();
    now += 60 * kNanosPerSecond;  // the rate that this made is forgotten
  }

  DispatchReason reason{};
  Nanos ask_again = 0;

 private:
  std::deque<BatchItem> items_;
  std::unique_ptr<Batcher> batcher_;
  std::unique_ptr<BatchQueue> queue_;
};

using Indices = std::vector<std::size_t>;

TEST_F(BatcherTest, AFullBatchGoesAtOnce) {
  config.batch_size = 3;
  add_many(2);
  EXPECT_TRUE(send().empty());
  add_many(1);
  EXPECT_EQ(send(), (Indices{0, 1, 2}));
  EXPECT_EQ(reason, DispatchReason::kFull);
}

TEST_F(BatcherTest, AnItemWaitsForItsOwnWindowAndNoLonger) {
  add_many(1);
  now = 30 * kMilli;
  add_many(1);
  EXPECT_TRUE(send().empty());
  EXPECT_EQ(ask_again, 50 * kMilli);
  now = 50 * kMilli;
  EXPECT_EQ(send(), (Indices{0, 1}));
  EXPECT_EQ(reason, DispatchReason::kTimer);
}

TEST_F(BatcherTest, TheTimerOfABatchThatHasGoneNeverFlushesTheNextOneEarly) {
  config.batch_size = 2;
  add_many(2);
  send();
  now = 40 * kMilli;
  add_many(1);
  now = 50 * kMilli;  // the first batch's timer
  EXPECT_TRUE(send().empty());
  EXPECT_EQ(ask_again, 90 * kMilli);
}

TEST_F(BatcherTest, BatchesInFlightAreBoundedAndASlotThatFreesTakesWhatWaits) {
  config.batch_size = 1;
  config.max_concurrent_batches = 2;
  add_many(3);
  EXPECT_EQ(send(), (Indices{0}));
  EXPECT_EQ(send(), (Indices{1}));
  EXPECT_TRUE(send().empty());
  EXPECT_EQ(ask_again, kForever);
  batcher().batch_ended(1, kMilli, true);
  EXPECT_EQ(send(), (Indices{2}));
  EXPECT_EQ(batcher().in_flight(), 2U);
}

TEST_F(BatcherTest, RefusesWhatIsMoreThanMaxPending) {
  config.max_pending = 2;
  add_many(2);
  EXPECT_FALSE(add());
  EXPECT_EQ(batcher().totals().rejected, 1U);
  queue().remove(item(0));
  EXPECT_TRUE(add());
}

TEST_F(BatcherTest, AnItemThatLeavesIsNotSent) {
  config.batch_size = 3;
  add_many(3);
  queue().remove(item(1));
  queue().flush(DispatchReason::kFlush);
  EXPECT_EQ(send(), (Indices{0, 2}));
}

TEST_F(BatcherTest, AnItemPastItsDeadlineIsDropped) {
  add(0, 20 * kMilli);
  add();
  EXPECT_TRUE(send().empty());
  EXPECT_EQ(ask_again, 20 * kMilli);
  now = 20 * kMilli;
  EXPECT_EQ(queue().pop_expired(now), &item(0));
  EXPECT_EQ(queue().pop_expired(now), nullptr);
  EXPECT_EQ(batcher().totals().expired, 1U);
  now = 50 * kMilli;
  EXPECT_EQ(send(), (Indices{1}));
}

TEST_F(BatcherTest, DeadlinesCountWhileNoSlotIsFree) {
  config.max_concurrent_batches = 1;
  config.batch_size = 1;
  add_many(1);
  send();
  add(0, 20 * kMilli);
  EXPECT_TRUE(send().empty());
  EXPECT_EQ(ask_again, 20 * kMilli);
}

TEST_F(BatcherTest, HigherPrioritiesGoFirstAndEqualsInOrderOfArrival) {
  config.batch_size = 2;
  config.max_concurrent_batches = 3;
  for (const int priority : {0, 1, -1, 0, 5, 1}) {
    add(priority);
  }
  EXPECT_EQ(send(), (Indices{4, 1}));
  EXPECT_EQ(send(), (Indices{5, 0}));
  EXPECT_EQ(send(), (Indices{3, 2}));
}

TEST_F(BatcherTest, WaitingLongOutweighsPriority) {
  config.batch_size = 1;
  add(-1);
  now = Batcher::kAging * config.batch_timeout + 1;
  add(0);
  EXPECT_EQ(send(), (Indices{0}));
  EXPECT_EQ(send(), (Indices{1}));
}

TEST_F(BatcherTest, WeightFillsABatchAndAHeavierItemGoesAlone) {
  config.max_batch_weight = 10.0;
  add(0, kForever, 6.0);
  add(0, kForever, 3.0);
  EXPECT_TRUE(send().empty());
  add(0, kForever, 4.0);
  EXPECT_EQ(send(), (Indices{0, 1}));
  EXPECT_EQ(reason, DispatchReason::kFull);
  EXPECT_TRUE(send().empty());
  add(0, kForever, 50.0);
  EXPECT_EQ(send(), (Indices{2}));
  EXPECT_EQ(send(), (Indices{3}));
}

TEST_F(BatcherTest, AFlushSendsWhatWaitsAndNotWhatComesLater) {
  config.batch_size = 2;
  config.max_concurrent_batches = 1;
  add_many(3);
  queue().flush(DispatchReason::kFlush);
  EXPECT_EQ(send(), (Indices{0, 1}));
  batcher().batch_ended(2, kMilli, true);
  EXPECT_EQ(send(), (Indices{2}));
  EXPECT_EQ(reason, DispatchReason::kFlush);
  batcher().batch_ended(1, kMilli, true);
  add_many(1);
  EXPECT_TRUE(send().empty());
}

TEST_F(BatcherTest, SettingsMayChangeWhileItemsWait) {
  add_many(3);
  EXPECT_TRUE(send().empty());
  config.batch_size = 2;
  config.batch_timeout = 10 * kMilli;
  batcher().reconfigure(config);
  EXPECT_EQ(send(), (Indices{0, 1}));
  now = 10 * kMilli;
  EXPECT_EQ(send(), (Indices{2}));
}

TEST_F(BatcherTest, AveragesAreExactOverAllRequests) {
  config.batch_size = 3;
  add_many(3);
  send();
  add_many(1);
  now = 50 * kMilli;
  send();
  const BatcherTotals& totals = batcher().totals();
  EXPECT_EQ(totals.batches, 2U);
  EXPECT_EQ(totals.requests, 4U);
  EXPECT_EQ(totals.waited, 50 * kMilli);
  EXPECT_EQ(totals.reasons[static_cast<std::size_t>(DispatchReason::kFull)], 1U);
  EXPECT_EQ(totals.reasons[static_cast<std::size_t>(DispatchReason::kTimer)], 1U);
  EXPECT_NEAR(static_cast<double>(totals.waits.percentile(0.99)), 50e6, 50e6 * 0.04);
}

TEST_F(BatcherTest, AdaptiveSendsALoneItemAtOnce) {
  config.adaptive = true;
  teach(40 * kMilli, 2 * kMilli);
  add_many(1);
  EXPECT_EQ(send(), (Indices{0}));
  EXPECT_EQ(reason, DispatchReason::kIdle);
}

TEST_F(BatcherTest, AdaptiveWaitsForMoreWhenSmallBatchesWouldKeepAllSlotsBusy) {
  config.adaptive = true;
  config.max_concurrent_batches = 2;
  config.batch_size = 50;
  config.batch_timeout = 100 * kMilli;
  teach(40 * kMilli, 2 * kMilli);
  for (int i = 0; i < 1'200; ++i) {  // 240 a second, sent at once
    now += kNanosPerSecond / 240;
    add_many(1);
    queue().flush(DispatchReason::kFlush);
    send();
    batcher().batch_ended(1, 42 * kMilli, true);
  }
  const std::size_t worthwhile = batcher().worthwhile_size(now);
  EXPECT_GE(worthwhile, 10U);  // 240 · (40 + 2n) ms / 2n = 0.6 at n = 13.3
  EXPECT_LE(worthwhile, 20U);
  add_many(1);
  EXPECT_TRUE(send().empty());
  EXPECT_LT(ask_again, now + config.batch_timeout);
  add_many(static_cast<int>(worthwhile) + 1);
  EXPECT_GE(send().size(), worthwhile);
  EXPECT_EQ(reason, DispatchReason::kIdle);
}

TEST_F(BatcherTest, AdaptiveGoesEarlyEnoughForTheTightestDeadline) {
  config.adaptive = true;
  config.max_concurrent_batches = 1;
  config.batch_timeout = 500 * kMilli;
  teach(40 * kMilli, 2 * kMilli);
  for (int i = 0; i < 100; ++i) {
    now += 10 * kMilli;
    add_many(1);
    queue().flush(DispatchReason::kFlush);
    send();
    batcher().batch_ended(1, 42 * kMilli, true);
  }
  add(0, 60 * kMilli);
  EXPECT_TRUE(send().empty());
  EXPECT_NEAR(static_cast<double>(ask_again - now), 18e6, 2e6);
  now = ask_again;
  EXPECT_EQ(send().size(), 1U);
  EXPECT_EQ(reason, DispatchReason::kDeadline);
}

TEST_F(BatcherTest, AdaptiveCapsABatchSoThatTheTightestDeadlineCanBeMet) {
  config.adaptive = true;
  config.batch_size = 40;
  teach(40 * kMilli, 2 * kMilli);
  add(0, 61 * kMilli);
  add_many(39);
  const auto decision = queue().decide(now);
  EXPECT_GE(decision.size, 9U);
  EXPECT_LE(decision.size, 11U);
}

TEST_F(BatcherTest, KeepsItsBooksUnderRandomUse) {
  config.batch_size = 7;
  config.max_pending = 50;
  config.max_concurrent_batches = 3;
  std::mt19937 random(42);
  std::uint64_t accepted = 0;
  std::uint64_t removed = 0;
  std::size_t added = 0;
  std::uint32_t running = 0;
  for (int step = 0; step < 20'000; ++step) {
    now += static_cast<Nanos>(random() % 1'000'000);
    if (random() % 3 != 0) {
      const auto priority = static_cast<std::int32_t>(random() % 3) - 1;
      accepted += add(random() % 2 == 0 ? 0 : priority, random() % 4 == 0 ? 5 * kMilli : kForever) ? 1U : 0U;
      ++added;
    }
    if (added > 0 && random() % 5 == 0 && item(random() % added).waiting) {
      // Whichever it is, an item may leave at any time.
      for (std::size_t i = added; i-- > 0;) {
        if (item(i).waiting) {
          queue().remove(item(i));
          batcher().left();
          ++removed;
          break;
        }
      }
    }
    while (queue().pop_expired(now) != nullptr) {
    }
    while (!send().empty()) {
      ++running;
    }
    EXPECT_LE(batcher().in_flight(), 3U);
    if (running > 0 && random() % 2 == 0) {
      batcher().batch_ended(1, kMilli, true);
      --running;
    }
  }
  const BatcherTotals& totals = batcher().totals();
  EXPECT_EQ(accepted, totals.requests + totals.cancelled + totals.expired + batcher().pending());
  EXPECT_EQ(totals.cancelled, removed);
  EXPECT_GT(totals.expired, 0U);
}

TEST(BatcherConfig, RefusesWhatIsOutOfRangeNamingIt) {
  EXPECT_TRUE(BatcherConfig{}.validate().ok());
  EXPECT_EQ(BatcherConfig{.batch_size = 0}.validate().argument, "batch_size");
  EXPECT_EQ(BatcherConfig{.batch_timeout = -1}.validate().argument, "batch_timeout_ms");
  EXPECT_EQ(BatcherConfig{.max_pending = 0}.validate().argument, "max_pending");
  EXPECT_EQ(BatcherConfig{.max_concurrent_batches = 0}.validate().argument, "max_concurrent_batches");
  EXPECT_EQ(BatcherConfig{.max_batch_weight = 0.0}.validate().argument, "max_batch_weight");
}

}  // namespace
}  // namespace resilience
