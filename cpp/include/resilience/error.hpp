// Why the core refuses something: values that machines return and the bindings turn into exceptions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace resilience {

// A rejected setting: which one, what it must be, and what was given, ready for a message.
// An empty `argument` means that everything is in order.
struct InvalidArgument {
  std::string argument;  // the public name of the parameter
  std::string expected;  // the allowed range, in words: "a number in [0, 1]"
  std::string given;     // what was passed

  [[nodiscard]] bool ok() const noexcept { return argument.empty(); }
  explicit operator bool() const noexcept { return !ok(); }
  // "failure_rate_threshold must be a number in (0, 1], got 3.0"
  [[nodiscard]] std::string message() const;
};

// Range checks that every configuration uses. NaN is outside every range.
[[nodiscard]] InvalidArgument require(bool valid, std::string_view argument, std::string_view expected,
                                      double given);

}  // namespace resilience
