#include "resilience/request_metrics.hpp"

#include <algorithm>
#include <numeric>

namespace resilience {

namespace {

constexpr int kServerError = 500;
constexpr Nanos kMinute = 60 * kNanosPerSecond;

constexpr std::array<std::string_view, 8> kMethods{"GET",   "POST", "PUT",     "DELETE",
                                                   "PATCH", "HEAD", "OPTIONS", "WEBSOCKET"};
constexpr std::array<std::string_view, 4> kProbes{"/healthz", "/health", "/ready", "/metrics"};

std::string_view known(std::string_view method) noexcept {
  return std::ranges::find(kMethods, method) == kMethods.end() ? "OTHER" : method;
}

}  // namespace

MinuteSummary MinuteWindow::summary(Nanos now) const noexcept {
  MinuteSummary summary;
  summary.span = std::clamp(now - born_, kNanosPerSecond, kMinute);
  Durations<std::uint64_t> merged;
  for (const Second& second : ring_) {
    const Nanos at = second.at * kNanosPerSecond;
    if (second.at < 0 || at <= now - kMinute || at > now) {
      continue;
    }
    merged.merge(second.durations);
    summary.errors += second.errors;
    summary.total += second.total;
  }
  summary.requests = merged.count();
  summary.p50 = merged.percentile(0.5);
  summary.p99 = merged.percentile(0.99);
  return summary;
}

bool RequestMetrics::is_probe(std::string_view path) noexcept {
  return std::ranges::find(kProbes, path) != kProbes.end();
}

void RequestMetrics::observe(Nanos now, std::string_view method, std::string_view route, int status,
                             Nanos duration) {
  Series& series = series_of({known(method), route, status});
  const auto* bucket = std::ranges::lower_bound(kBounds, duration);
  series.total += duration;
  ++series.buckets[static_cast<std::size_t>(bucket - kBounds.begin())];
  minute_.observe(now, duration, series.failed);
  if (series.probe) {
    probes_.observe(now, duration, series.failed);
  }
}

std::uint64_t RequestMetrics::requests() const noexcept {
  std::uint64_t sum = 0;
  each([&sum](const Key& /*key*/, const Series& series) {
    sum += std::accumulate(series.buckets.begin(), series.buckets.end(), std::uint64_t{0});
  });
  return sum;
}

Nanos RequestMetrics::total() const noexcept {
  Nanos sum = 0;
  each([&sum](const Key& /*key*/, const Series& series) { sum += series.total; });
  return sum;
}

RequestMetrics::Series& RequestMetrics::series_of(const KeyView& key) {
  const auto known_series = series_.find(key);
  if (known_series != series_.end()) [[likely]] {
    return known_series->second;
  }
  Series fresh;
  fresh.failed = key.status >= kServerError;
  fresh.probe = is_probe(key.route);
  return series_.emplace(Key{std::string(key.method), std::string(key.route), key.status}, fresh)
      .first->second;
}

}  // namespace resilience
