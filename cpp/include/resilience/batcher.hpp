// The batcher: a state machine that decides when which waiting items go together to a function that takes
// many at once.
//
// A Batcher holds what its queues share: settings, the bound on batches in flight, the bound on items
// waiting, the fitted cost and the statistics. There is a BatchQueue for each event loop. Items are the
// owner's: the queue links them and never allocates for one without priority and deadline.
//
// An item goes at the latest `batch_timeout` after its own arrival or, when max_concurrent_batches are
// running by then, as soon as one of them ends. A full batch goes at once. Adaptive batchers send what there
// is as soon as a slot is free, unless so small a batch would cost too much at the present rate of arrivals:
// with a batch costing a·n + b seconds, S slots and arrivals at rate r, batches of n keep r·(a·n + b)/(n·S)
// of them busy, and the smallest n that keeps at most kBusy busy is worth waiting for. At low load that is
// one.
//
// Items go in order of arrival, with a head start of kAging windows for each level of priority; waiting so
// long outweighs the level, so nobody starves.
//
// Thread-safety: none; the owner serialises (the bindings by the GIL). Complexity: O(1) an item without
// priority and deadline, O(log waiting) otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "resilience/arrival_rate.hpp"
#include "resilience/batch_cost.hpp"
#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/histogram.hpp"

namespace resilience {

struct BatcherConfig {
  std::uint32_t batch_size = 10;
  Nanos batch_timeout = 50 * kNanosPerMilli;
  std::uint32_t max_pending = 10'000;
  std::uint32_t max_concurrent_batches = 8;
  bool adaptive = false;
  double max_batch_weight = std::numeric_limits<double>::infinity();  // a heavier item goes alone

  [[nodiscard]] InvalidArgument validate() const;
};

// Why a batch went: it was full, its oldest item's window or (adaptive) tightest deadline was about to end, a
// slot was idle, or the owner asked.
enum class DispatchReason : std::uint8_t { kFull, kTimer, kIdle, kDeadline, kFlush, kClose };
inline constexpr std::size_t kDispatchReasons = 6;

// One item as its queue sees it. Copying would break the links.
struct BatchItem {
  BatchItem() = default;
  BatchItem(const BatchItem&) = delete;
  BatchItem& operator=(const BatchItem&) = delete;

  Nanos arrived = 0;
  Nanos deadline = kForever;  // dropped when it is reached before the item goes
  double weight = 0.0;
  std::int32_t priority = 0;  // higher goes first
  // The queue's own:
  bool waiting = false;
  Nanos rank = 0;
  std::uint64_t sequence = 0;
  BatchItem* previous = nullptr;
  BatchItem* next = nullptr;
};

struct BatcherTotals {
  std::uint64_t batches = 0;
  std::uint64_t requests = 0;  // items that went
  std::uint64_t failed_batches = 0;
  std::uint64_t rejected = 0;   // for want of room
  std::uint64_t cancelled = 0;  // left before they went
  std::uint64_t expired = 0;    // dropped at their deadline
  Nanos waited = 0;             // by all that went, together
  std::array<std::uint64_t, kDispatchReasons> reasons{};
  LatencyHistogram waits;
};

class Batcher {
 public:
  static constexpr double kBusy = 0.6;
  static constexpr std::int32_t kAging = 10;  // windows that one level of priority is worth

  // REQUIRES: config.validate().ok(), here and in reconfigure().
  explicit Batcher(const BatcherConfig& config) : config_(config) {}
  void reconfigure(const BatcherConfig& config) { config_ = config; }

  [[nodiscard]] const BatcherConfig& config() const noexcept { return config_; }
  [[nodiscard]] const BatcherTotals& totals() const noexcept { return totals_; }
  [[nodiscard]] const BatchCost& cost() const noexcept { return cost_; }
  [[nodiscard]] double arrivals_per_second(Nanos now) const noexcept { return rate_.per_second(now); }
  [[nodiscard]] std::uint32_t pending() const noexcept { return pending_; }
  [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] bool slot_free() const noexcept { return in_flight_ < config_.max_concurrent_batches; }

  // An item of a batch that was taken goes to the function now.
  void went(const BatchItem& item, Nanos now) noexcept;
  // The batch went, with what is left of it.
  void batch_began(DispatchReason reason) noexcept;
  void left(std::uint64_t items = 1) noexcept { totals_.cancelled += items; }
  // A batch that was taken is over and its slot free. Only what succeeded tells the cost.
  void batch_ended(std::size_t size, Nanos duration, bool succeeded) noexcept;
  void batch_dropped() noexcept { --in_flight_; }
  // The smallest batch that keeps slots at most kBusy busy, 1 while nothing is known.
  [[nodiscard]] std::size_t worthwhile_size(Nanos now) const noexcept;

 private:
  friend class BatchQueue;

  BatcherConfig config_;
  BatcherTotals totals_;
  ArrivalRate rate_;
  BatchCost cost_;
  std::uint32_t pending_ = 0;
  std::uint32_t in_flight_ = 0;
};

class BatchQueue {
 public:
  struct Decision {
    std::size_t size = 0;  // > 0: take() so many now
    DispatchReason reason = DispatchReason::kTimer;
    Nanos ask_again = kForever;  // else: when, unless an item arrives or a slot frees before
  };

  explicit BatchQueue(Batcher& batcher) noexcept : batcher_(batcher) {}
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  // Takes an item in, with arrived, deadline, weight and priority set; false when max_pending wait already.
  // `arrived` never goes back.
  bool push(BatchItem& item);
  // An item leaves. REQUIRES: item.waiting
  void remove(BatchItem& item) noexcept;
  // The next item whose deadline has come, removed; null when there is none.
  BatchItem* pop_expired(Nanos now) noexcept;
  [[nodiscard]] Decision decide(Nanos now) const;
  // Moves the next `size` items into `out`, first to go first, and occupies a slot.
  void take(std::size_t size, std::vector<BatchItem*>& out);

  // Moves all items into `out`, oldest first among equals, without occupying a slot.
  void drain(std::vector<BatchItem*>& out);
  // All that wait now are due, for this reason; what comes later is not.
  void flush(DispatchReason reason) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // Whether a batch is full, slot or no slot.
  [[nodiscard]] bool full() const noexcept {
    return size_ >= batcher_.config_.batch_size || weight_ >= batcher_.config_.max_batch_weight;
  }
  // Calls visit(item) for each, in order of arrival within those with and without priority.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const List* list : {&plain_, &ranked_}) {
      for (BatchItem* item = list->head; item != nullptr; item = item->next) {
        visit(item);
      }
    }
  }
  [[nodiscard]] Nanos oldest_arrival() const noexcept;  // kForever when empty

 private:
  struct List {
    BatchItem* head = nullptr;
    BatchItem* tail = nullptr;
    void append(BatchItem& item) noexcept;
    void unlink(BatchItem& item) noexcept;
  };
  using Order = std::set<std::pair<std::pair<Nanos, std::uint64_t>, BatchItem*>>;

  [[nodiscard]] List& list_of(const BatchItem& item) noexcept {
    return item.priority == 0 ? plain_ : ranked_;
  }
  [[nodiscard]] const BatchItem* oldest() const noexcept;
  [[nodiscard]] BatchItem* first() const noexcept;
  [[nodiscard]] Decision decide_adaptively(Nanos now, Nanos window_end) const;
  [[nodiscard]] std::size_t capped_by_deadline(std::size_t size, Nanos now) const noexcept;

  Batcher& batcher_;
  List plain_;       // items without priority, by arrival
  List ranked_;      // the others, by arrival
  Order by_rank_;    // the others, first to go first
  Order by_expiry_;  // items with a deadline, of either kind
  std::size_t size_ = 0;
  double weight_ = 0.0;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t flush_below_ = 0;  // items with a lower sequence number are due
  DispatchReason flush_reason_ = DispatchReason::kFlush;
};

}  // namespace resilience
