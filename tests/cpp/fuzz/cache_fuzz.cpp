// Arbitrary bytes as a sequence of cache operations beside the model; a broken promise throws, which ends it.
#include <cstddef>
#include <cstdint>

#include "../support/cache_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace resilience;
  std::size_t at = 0;
  const auto next = [&]() -> std::uint8_t { return at < size ? data[at++] : std::uint8_t{0}; };
  CacheConfig config;
  config.policy = static_cast<CachePolicyKind>(next() % 4U);
  config.max_entries = 1 + next() % 48U;
  config.max_weight = next() % 2U == 0 ? UINT64_MAX : 1 + next() * 4U;
  config.sliding = next() % 2U == 0 ? kForever : kNanosPerSecond;
  config.grace = next() % 2U == 0 ? 0 : kNanosPerSecond / 2;
  testing::CacheModel model(config);
  while (at < size) {
    testing::run_operation(model, next);
  }
  return 0;
}
