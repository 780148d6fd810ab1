#include "resilience/bulkhead.hpp"

namespace resilience {

InvalidArgument BulkheadConfig::validate() const {
  if (auto bad = require(max_concurrent >= 1, "max_concurrent", "an integer >= 1",
                         static_cast<double>(max_concurrent))) {
    return bad;
  }
  return require(max_waiting >= 0, "max_waiting", "an integer >= 0", static_cast<double>(max_waiting));
}

std::optional<Ticket> Bulkhead::enqueue(std::int64_t priority) {
  if (waiting() >= max_waiting_) {
    return std::nullopt;
  }
  return queue_.join(priority);
}

std::optional<Ticket> Bulkhead::serve() noexcept {
  if (queue_.empty() || in_flight_ >= max_concurrent_) {
    return std::nullopt;
  }
  ++in_flight_;
  return queue_.pop();
}

std::vector<Ticket> Bulkhead::resize(const BulkheadConfig& config) {
  max_concurrent_ = config.max_concurrent;
  max_waiting_ = config.max_waiting;
  std::vector<Ticket> served;
  while (const auto next = serve()) {
    served.push_back(*next);
  }
  return served;
}

}  // namespace resilience
