#include "resilience/batcher.hpp"

#include <algorithm>
#include <cmath>

namespace resilience {

namespace {

constexpr std::uint32_t kMostItems = 1'000'000;

Nanos nanos_of(double seconds) { return nanos_from_seconds(std::max(0.0, seconds)); }

}  // namespace

InvalidArgument BatcherConfig::validate() const {
  const auto counts = [](std::uint32_t value) { return value >= 1 && value <= kMostItems; };
  for (const auto& [value, name] :
       {std::pair{batch_size, "batch_size"}, std::pair{max_pending, "max_pending"},
        std::pair{max_concurrent_batches, "max_concurrent_batches"}}) {
    if (auto wrong = require(counts(value), name, "an integer in [1, 1000000]", value)) {
      return wrong;
    }
  }
  if (auto wrong = require(batch_timeout >= 0 && batch_timeout <= 3'600 * kNanosPerSecond, "batch_timeout_ms",
                           "a number in [0, 3600000]", static_cast<double>(batch_timeout) / 1e6)) {
    return wrong;
  }
  return require(max_batch_weight > 0.0, "max_batch_weight", "a number > 0", max_batch_weight);
}

void Batcher::went(const BatchItem& item, Nanos now) noexcept {
  const Nanos wait = std::max<Nanos>(0, now - item.arrived);
  ++totals_.requests;
  totals_.waited += wait;
  totals_.waits.record(wait);
}

void Batcher::batch_began(DispatchReason reason) noexcept {
  ++totals_.batches;
  ++totals_.reasons[static_cast<std::size_t>(reason)];
}

void Batcher::batch_ended(std::size_t size, Nanos duration, bool succeeded) noexcept {
  --in_flight_;
  if (succeeded) {
    cost_.observe(size, duration);
  } else {
    ++totals_.failed_batches;
  }
}

std::size_t Batcher::worthwhile_size(Nanos now) const noexcept {
  if (!cost_.known()) {
    return 1;
  }
  const double rate = rate_.per_second(now);
  const double room = config_.max_concurrent_batches * kBusy - rate * cost_.per_item();
  if (room <= 0.0) {
    return config_.batch_size;
  }
  const double size = std::ceil(rate * cost_.per_batch() / room);
  return static_cast<std::size_t>(std::clamp(size, 1.0, static_cast<double>(config_.batch_size)));
}

void BatchQueue::List::append(BatchItem& item) noexcept {
  item.previous = tail;
  item.next = nullptr;
  (tail == nullptr ? head : tail->next) = &item;
  tail = &item;
}

void BatchQueue::List::unlink(BatchItem& item) noexcept {
  (item.previous == nullptr ? head : item.previous->next) = item.next;
  (item.next == nullptr ? tail : item.next->previous) = item.previous;
}

bool BatchQueue::push(BatchItem& item) {
  const BatcherConfig& config = batcher_.config_;
  if (batcher_.pending_ >= config.max_pending) {
    ++batcher_.totals_.rejected;
    return false;
  }
  item.sequence = next_sequence_++;
  item.waiting = true;
  list_of(item).append(item);
  if (item.priority != 0) {
    const double head_start = static_cast<double>(item.priority) * static_cast<double>(Batcher::kAging) *
                              static_cast<double>(std::max(config.batch_timeout, kNanosPerMilli));
    item.rank = saturating_add(item.arrived, -nanos_from_seconds(head_start / 1e9));
    by_rank_.insert({{item.rank, item.sequence}, &item});
  }
  if (item.deadline != kForever) {
    by_expiry_.insert({{item.deadline, item.sequence}, &item});
  }
  ++size_;
  weight_ += item.weight;
  ++batcher_.pending_;
  if (config.adaptive) {
    batcher_.rate_.arrived(item.arrived);
  }
  return true;
}

void BatchQueue::remove(BatchItem& item) noexcept {
  list_of(item).unlink(item);
  if (item.priority != 0) {
    by_rank_.erase({{item.rank, item.sequence}, &item});
  }
  if (item.deadline != kForever) {
    by_expiry_.erase({{item.deadline, item.sequence}, &item});
  }
  item.waiting = false;
  --size_;
  weight_ = size_ == 0 ? 0.0 : weight_ - item.weight;  // rounding errors don't outlive a batch
  --batcher_.pending_;
}

BatchItem* BatchQueue::pop_expired(Nanos now) noexcept {
  if (by_expiry_.empty() || by_expiry_.begin()->first.first > now) {
    return nullptr;
  }
  BatchItem* item = by_expiry_.begin()->second;
  remove(*item);
  ++batcher_.totals_.expired;
  return item;
}

const BatchItem* BatchQueue::oldest() const noexcept {
  if (plain_.head == nullptr || ranked_.head == nullptr) {
    return plain_.head == nullptr ? ranked_.head : plain_.head;
  }
  return plain_.head->sequence < ranked_.head->sequence ? plain_.head : ranked_.head;
}

BatchItem* BatchQueue::first() const noexcept {
  if (by_rank_.empty()) {
    return plain_.head;
  }
  BatchItem* ranked = by_rank_.begin()->second;
  return plain_.head != nullptr && plain_.head->arrived <= ranked->rank ? plain_.head : ranked;
}

Nanos BatchQueue::oldest_arrival() const noexcept {
  const BatchItem* item = oldest();
  return item == nullptr ? kForever : item->arrived;
}

BatchQueue::Decision BatchQueue::decide(Nanos now) const {
  if (size_ == 0) {
    return {};
  }
  const Nanos expiry = by_expiry_.empty() ? kForever : by_expiry_.begin()->first.first;
  if (!batcher_.slot_free()) {
    return {.ask_again = expiry};  // until a slot frees, items can only run out of time
  }
  const BatcherConfig& config = batcher_.config_;
  const std::size_t most = std::min<std::size_t>(size_, config.batch_size);
  if (full()) {
    return {capped_by_deadline(most, now), DispatchReason::kFull};
  }
  const BatchItem& waiting_longest = *oldest();
  if (waiting_longest.sequence < flush_below_) {
    return {most, flush_reason_};
  }
  const Nanos window_end = saturating_add(waiting_longest.arrived, config.batch_timeout);
  if (window_end <= now) {
    return {capped_by_deadline(most, now), DispatchReason::kTimer};
  }
  if (config.adaptive) {
    return decide_adaptively(now, window_end);
  }
  return {.ask_again = std::min(window_end, expiry)};
}

BatchQueue::Decision BatchQueue::decide_adaptively(Nanos now, Nanos window_end) const {
  const std::size_t wanted = batcher_.worthwhile_size(now);
  if (size_ >= wanted) {
    return {capped_by_deadline(size_, now), DispatchReason::kIdle};
  }
  // The last moment at which the tightest deadline can still be met.
  Nanos last_call = kForever;
  if (!by_expiry_.empty()) {
    last_call = by_expiry_.begin()->first.first - nanos_of(batcher_.cost_.of(size_));
    if (last_call <= now) {
      return {capped_by_deadline(size_, now), DispatchReason::kDeadline};
    }
  }
  // Arrivals that stay away longer than expected aren't waited for: the rate was an estimate.
  const double rate = batcher_.rate_.per_second(now);
  const Nanos expected = rate > 0.0 ? nanos_of(static_cast<double>(wanted) / rate) : 0;
  const Nanos patience = saturating_add(oldest()->arrived, expected);
  if (patience <= now) {
    return {capped_by_deadline(size_, now), DispatchReason::kIdle};
  }
  return {.ask_again = std::min({window_end, last_call, patience})};
}

// Adaptive batchers send no more than can be done by the tightest deadline among those that wait.
std::size_t BatchQueue::capped_by_deadline(std::size_t size, Nanos now) const noexcept {
  const BatchCost& cost = batcher_.cost_;
  if (!batcher_.config_.adaptive || by_expiry_.empty() || !(cost.per_item() > 0.0)) {
    return size;
  }
  const double slack = seconds_from_nanos(by_expiry_.begin()->first.first - now);
  const double fitting = std::floor((slack - cost.per_batch()) / cost.per_item());
  return static_cast<std::size_t>(std::clamp(fitting, 1.0, static_cast<double>(size)));
}

void BatchQueue::take(std::size_t size, std::vector<BatchItem*>& out) {
  ++batcher_.in_flight_;
  double weight = 0.0;
  while (size-- > 0) {
    BatchItem* item = first();
    weight += item->weight;
    if (!out.empty() && weight > batcher_.config_.max_batch_weight) {
      break;
    }
    remove(*item);
    out.push_back(item);
  }
}

void BatchQueue::drain(std::vector<BatchItem*>& out) {
  while (BatchItem* item = first()) {
    remove(*item);
    out.push_back(item);
  }
}

void BatchQueue::flush(DispatchReason reason) noexcept {
  flush_below_ = next_sequence_;
  flush_reason_ = reason;
}

}  // namespace resilience
