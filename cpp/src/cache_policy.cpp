#include "resilience/cache_policy.hpp"

#include <array>
#include <utility>

#include "resilience/cache_policy_adaptive.hpp"
#include "resilience/cache_policy_lru.hpp"
#include "resilience/cache_policy_s3fifo.hpp"

namespace resilience {

namespace {

constexpr std::array<std::pair<CachePolicyKind, std::string_view>, 4> kNames{{
    {CachePolicyKind::kAdaptive, "adaptive"},
    {CachePolicyKind::kLru, "lru"},
    {CachePolicyKind::kS3Fifo, "s3fifo"},
    {CachePolicyKind::kWTinyLfu, "w_tinylfu"},
}};

}  // namespace

std::string_view to_string(CachePolicyKind kind) noexcept {
  return kNames[static_cast<std::size_t>(kind)].second;
}

std::optional<CachePolicyKind> cache_policy_from_string(std::string_view name) noexcept {
  for (const auto& [kind, known] : kNames) {
    if (known == name) {
      return kind;
    }
  }
  return std::nullopt;
}

std::unique_ptr<CachePolicy> make_cache_policy(CachePolicyKind kind, std::size_t capacity) {
  switch (kind) {
    case CachePolicyKind::kLru:
      return std::make_unique<LruPolicy>(capacity);
    case CachePolicyKind::kS3Fifo:
      return std::make_unique<S3FifoPolicy>(capacity);
    case CachePolicyKind::kWTinyLfu:
      return std::make_unique<TinyLfuPolicy>(capacity, WindowMode::kFixed);
    case CachePolicyKind::kAdaptive:
      break;
  }
  return std::make_unique<TinyLfuPolicy>(capacity, WindowMode::kSteered);
}

}  // namespace resilience
