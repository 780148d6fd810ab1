#include "resilience/allocation_rules.hpp"

namespace resilience {

Sizes similar_periods_sizes(const SimilarPeriodsInput& input, const Sizes& current,
                            const Sizes& limits) noexcept {
  constexpr double kEnoughConfidence = 0.5;
  constexpr double kBusyRpm = 100.0;
  constexpr std::int64_t kBusyWorkers = 10;
  constexpr double kCrowded = 0.8;
  constexpr double kHeadroom = 1.5;
  constexpr std::int64_t kCacheStepMb = 50;

  Sizes sizes = current;
  if (input.confidence < kEnoughConfidence) {
    return sizes;
  }
  std::int64_t& workers = sizes[index_of(Resource::kWorkers)];
  std::int64_t& connections = sizes[index_of(Resource::kConnections)];
  std::int64_t& cache = sizes[index_of(Resource::kCacheSizeMb)];
  if (input.expected_rpm > kBusyRpm) {
    workers = kBusyWorkers;
  }
  if (input.expected_connections > kCrowded * static_cast<double>(connections)) {
    const double wanted = kHeadroom * input.expected_connections;
    const auto limit = static_cast<double>(limits[index_of(Resource::kConnections)]);
    connections = static_cast<std::int64_t>(std::min(wanted, limit));
  }
  if (input.increasing) {
    cache += kCacheStepMb;
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = std::min(sizes[i], limits[i]);
  }
  return sizes;
}

}  // namespace resilience
