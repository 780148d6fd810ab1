#include "resilience/tick_clock.hpp"

#include <algorithm>
#include <ctime>

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace resilience {

namespace {

constexpr Nanos kShortestBase = 20 * kNanosPerMicro;  // over which a first rate is precise to 10^-3
constexpr Nanos kPreciseBase = 5 * kNanosPerMilli;    // to 10^-5
constexpr Nanos kLongestBase = 10 * kNanosPerSecond;  // a longer one may hide a pause of either clock

Nanos system_now() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<Nanos>(t.tv_sec) * kNanosPerSecond + static_cast<Nanos>(t.tv_nsec);
}

std::uint64_t counter() noexcept {
#ifdef __x86_64__
  return __builtin_ia32_rdtsc();
#else
  return 0;
#endif
}

// Whether the counter runs at one rate in all power states (CPUID 80000007H, EDX bit 8).
bool invariant_counter() noexcept {
#ifdef __x86_64__
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0x80000007U, &a, &b, &c, &d) != 0 && (d & (1U << 8U)) != 0;
#else
  return false;
#endif
}

}  // namespace

constinit TickClock::Anchor TickClock::anchor_;
const bool TickClock::kTrusted = invariant_counter() && TickClock::anchor() != 0;

Nanos TickClock::anchor() noexcept {
  static const bool usable = invariant_counter();
  const Nanos nanos = system_now();
  const std::uint64_t ticks = counter();
  std::uint32_t version = anchor_.version.load(std::memory_order_relaxed);
  const std::uint64_t old_rate = anchor_.rate.load(std::memory_order_relaxed);
  const Nanos passed = nanos - anchor_.nanos.load(std::memory_order_relaxed);
  const std::uint64_t run = ticks - anchor_.ticks.load(std::memory_order_relaxed);
  const bool first = anchor_.nanos.load(std::memory_order_relaxed) == 0;
  if (!usable || (!first && passed < (old_rate == 0 ? kShortestBase : kPreciseBase)) || (version & 1U) != 0 ||
      !anchor_.version.compare_exchange_strong(version, version + 1, std::memory_order_acq_rel)) {
    return nanos;  // too soon to tell the rate, or somebody else is at it
  }
  const bool measurable = !first && passed <= kLongestBase && run >= 16 && run < (1ULL << 36U);
  const std::uint64_t rate =
      measurable ? (static_cast<std::uint64_t>(passed) << 28U) / (run >> 4U) : old_rate;
  anchor_.ticks.store(ticks, std::memory_order_release);
  anchor_.nanos.store(nanos, std::memory_order_release);
  anchor_.rate.store(rate, std::memory_order_release);
  anchor_.version.store(version + 2, std::memory_order_release);
  return nanos;
}

Nanos TickClock::now_since_slowly(Stamp stamp, Nanos& passed) noexcept {
  const std::uint64_t ticks = counter();
  const Nanos now = anchor();
  if (!kTrusted) {
    passed = std::max<Nanos>(now - stamp, 0);
    return now;
  }
  const std::int64_t run = static_cast<std::int64_t>(ticks) - stamp;
  passed =
      run <= 0 ? 0 : scale(static_cast<std::uint64_t>(run), anchor_.rate.load(std::memory_order_relaxed));
  return now;
}

}  // namespace resilience
