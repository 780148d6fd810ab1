#include "resilience/circuit_breaker.hpp"

#include <array>
#include <cmath>

namespace resilience {

namespace {

constexpr Nanos kShortest = kNanosPerMilli;
constexpr Nanos kLongest = 366LL * 86'400 * kNanosPerSecond;
constexpr std::uint32_t kMostCalls = 1'000'000;
constexpr std::uint32_t kMostProbes = 10'000;

InvalidArgument duration(Nanos value, std::string_view argument) {
  return require(value >= kShortest && value <= kLongest, argument,
                 "a number of seconds in [0.001, 31622400]", seconds_from_nanos(value));
}

InvalidArgument rate(const std::optional<double>& value, std::string_view argument) {
  return require(!value || (*value > 0.0 && *value <= 1.0), argument, "a fraction in (0, 1]",
                 value.value_or(0.0));
}

InvalidArgument whole(std::uint32_t value, std::uint32_t least, std::uint32_t most,
                      std::string_view argument) {
  const std::string range = "a whole number in [" + std::to_string(least) + ", " + std::to_string(most) + "]";
  return require(value >= least && value <= most, argument, range, value);
}

}  // namespace

InvalidArgument CircuitBreakerConfig::validate() const {
  const std::array checks{
      whole(failure_threshold, 0, kMostCalls, "failure_threshold"),
      rate(failure_rate_threshold, "failure_rate_threshold"),
      slow_call_duration ? duration(*slow_call_duration, "slow_call_duration") : InvalidArgument{},
      rate(slow_call_rate_threshold, "slow_call_rate_threshold"),
      slow_call_rate_threshold && !slow_call_duration
          ? InvalidArgument{"slow_call_duration", "set when slow_call_rate_threshold is", "None"}
          : InvalidArgument{},
      whole(minimum_calls, 1, kMostCalls, "minimum_calls"),
      duration(monitor_window, "monitor_window"),
      whole(window_calls, 0, kMostCalls, "window_calls"),
      window_calls != 0 && minimum_calls > window_calls &&
              (failure_rate_threshold || slow_call_rate_threshold)
          ? require(false, "minimum_calls", "at most window_calls", minimum_calls)
          : InvalidArgument{},
      duration(recovery_timeout, "recovery_timeout"),
      require(recovery_jitter >= 0.0 && recovery_jitter < 1.0, "recovery_jitter", "a fraction in [0, 1)",
              recovery_jitter),
      require(recovery_backoff >= 1.0 && recovery_backoff <= 100.0, "recovery_backoff",
              "a factor in [1, 100]", recovery_backoff),
      duration(max_recovery_timeout, "max_recovery_timeout"),
      require(max_recovery_timeout >= recovery_timeout, "max_recovery_timeout", "at least recovery_timeout",
              seconds_from_nanos(max_recovery_timeout)),
      whole(success_threshold, 1, kMostProbes, "success_threshold"),
      whole(half_open_requests, 1, kMostProbes, "half_open_requests"),
      require(half_open_requests >= success_threshold, "half_open_requests", "at least success_threshold",
              half_open_requests),
      whole(half_open_concurrency, 1, kMostProbes, "half_open_concurrency"),
      duration(probe_timeout, "probe_timeout"),
  };
  for (const InvalidArgument& check : checks) {
    if (check) {
      return check;
    }
  }
  return {};
}

}  // namespace resilience
