// Machines of policies as Python holds them: each with the clock it is asked by.
//
// Everything here is called with the GIL held, which serialises the machines: none of their operations is
// long enough to let it go.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "resilience/adaptive_limit.hpp"
#include "resilience/bulkhead.hpp"
#include "resilience/clock.hpp"
#include "resilience/error.hpp"
#include "resilience/hedge.hpp"
#include "resilience/rate_limiter.hpp"
#include "resilience/retry.hpp"
#include "resilience/time_source.hpp"

namespace resilience::bindings {

using ClockPtr = std::shared_ptr<Clock>;  // null, as None arrives: the system's

// `config` when it is valid; ValueError with its message otherwise.
template <typename Config>
Config checked(Config config) {
  if (const auto bad = config.validate()) {
    throw pybind11::value_error(bad.message());
  }
  return config;
}

// The value that a public name stands for; ValueError with all of them otherwise.
template <typename Value>
Value named(const char* argument, const std::string& name,
            std::initializer_list<std::pair<const char*, Value>> values) {
  std::string known;
  for (const auto& [candidate, value] : values) {
    if (name == candidate) {
      return value;
    }
    known += (known.empty() ? "'" : ", '") + std::string(candidate) + "'";
  }
  throw pybind11::value_error(std::string(argument) + " must be one of " + known + ", got '" + name + "'");
}

// Tickets travel as (priority, number): hashable, comparable, and meaningless to Python otherwise.
inline pybind11::object to_python(const std::optional<Ticket>& ticket) {
  if (!ticket) {
    return pybind11::none();
  }
  return pybind11::make_tuple(ticket->priority, ticket->number);
}
inline Ticket to_ticket(const std::pair<std::int64_t, std::uint64_t>& ticket) {
  return {ticket.first, ticket.second};
}

struct RetryBudgetHandle {
  RetryBudgetHandle(const RetryBudgetConfig& config, ClockPtr clock)
      : time(std::move(clock)), machine(checked(config), time.now()) {}

  TimeSource time;
  RetryBudget machine;
};

struct RetryHandle {
  RetryHandle(const RetryConfig& config, std::uint64_t seed, ClockPtr clock,
              std::shared_ptr<RetryBudgetHandle> shared_budget)
      : time(std::move(clock)), machine(checked(config), seed), budget(std::move(shared_budget)) {}

  TimeSource time;
  Retry machine;
  std::shared_ptr<RetryBudgetHandle> budget;  // null: unlimited
};

struct RateLimiterHandle {
  RateLimiterHandle(const RateLimiterConfig& config, std::size_t max_keys, ClockPtr clock)
      : time(std::move(clock)), machine(checked(config)), keyed(max_keys) {}

  [[nodiscard]] RateLimiter::Bucket& bucket(const std::optional<std::string>& key) {
    return key ? keyed.bucket(*key, time.now()) : single;
  }

  TimeSource time;
  RateLimiter machine;
  RateLimiter::Bucket single;
  KeyedBuckets keyed;
};

struct AdaptiveLimitHandle {
  AdaptiveLimitHandle(const AdaptiveLimitConfig& config, ClockPtr clock)
      : time(std::move(clock)), machine(checked(config)) {}

  TimeSource time;
  AdaptiveLimit machine;
};

}  // namespace resilience::bindings
