#include "resilience/error.hpp"

#include <array>
#include <cstdio>

namespace resilience {

std::string InvalidArgument::message() const { return argument + " must be " + expected + ", got " + given; }

InvalidArgument require(bool valid, std::string_view argument, std::string_view expected, double given) {
  if (valid) {
    return {};
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", given);
  return {std::string(argument), std::string(expected), text.data()};
}

}  // namespace resilience
