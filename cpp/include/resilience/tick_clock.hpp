// CLOCK_MONOTONIC at half its price: the processor's time stamp counter, anchored to the system's clock.
//
// A reading takes the counter's distance from the last anchor and scales it. Every kAnchorTicks at the latest
// the system's clock is read instead, which sets a new anchor and measures the counter's rate anew; so drift,
// a suspended machine or a move to another host show for that long at most. Readings may differ from the
// system's clock by the error of one such interval, well under a microsecond. Without an invariant counter
// the system's clock is read.
//
// A stamp is the cheaper half of a reading: enough to tell later how much time has passed since.
//
// Thread-safety: any thread; readers never wait. Complexity: O(1), 10 to 15 ns.
#pragma once

#include <atomic>
#include <cstdint>

#include "resilience/clock.hpp"

namespace resilience {

class TickClock {
 public:
  using Stamp = std::int64_t;

  [[nodiscard]] static Nanos now() noexcept {
    Reading reading;
    return read(reading) ? reading.nanos : anchor();
  }

  [[nodiscard]] static Stamp stamp() noexcept {
#ifdef __x86_64__
    if (kTrusted) [[likely]] {
      return static_cast<Stamp>(__builtin_ia32_rdtsc());
    }
#endif
    return anchor();
  }

  // The time at which `stamp` was taken, a moment ago.
  [[nodiscard]] static Nanos time_of(Stamp stamp) noexcept {
    if (!kTrusted) {
      return stamp;
    }
    Reading reading;
    return read_at(static_cast<std::uint64_t>(stamp), reading) ? reading.nanos : anchor();
  }

  // The time now; `passed` becomes the nanoseconds since `stamp` was taken, never negative.
  [[nodiscard]] static Nanos now_since(Stamp stamp, Nanos& passed) noexcept {
    Reading reading;
    if (!read(reading)) [[unlikely]] {
      return now_since_slowly(stamp, passed);
    }
    const std::int64_t ticks = reading.ticks - stamp;
    passed = ticks <= 0 ? 0 : scale(static_cast<std::uint64_t>(ticks), reading.rate);
    return reading.nanos;
  }

 private:
  static constexpr std::uint64_t kAnchorTicks = 1ULL << 28U;  // about 0.1 s at 2.5 GHz
  static constexpr unsigned kRateBits = 32;  // rate: nanoseconds a tick, as a fraction of 2^32

  struct Anchor {
    std::atomic<std::uint32_t> version{0};  // odd while it is being replaced
    std::atomic<std::uint64_t> ticks{0};
    std::atomic<Nanos> nanos{0};
    std::atomic<std::uint64_t> rate{0};  // 0: not known yet, or the counter can't be trusted
  };
  __extension__ using Wide = unsigned __int128;  // durations of hours in ticks times the rate
  struct Reading {
    std::int64_t ticks;
    std::uint64_t rate;
    Nanos nanos;
  };

  static Nanos scale(std::uint64_t ticks, std::uint64_t rate) noexcept {
    return static_cast<Nanos>((static_cast<Wide>(ticks) * rate) >> kRateBits);
  }

  // False when the system's clock has to be asked.
  static bool read([[maybe_unused]] Reading& reading) noexcept {
#ifdef __x86_64__
    return read_at(__builtin_ia32_rdtsc(), reading);
#else
    return false;
#endif
  }

  // The same for a count that was read before.
  static bool read_at(std::uint64_t ticks, Reading& reading) noexcept {
    const std::uint32_t version = anchor_.version.load(std::memory_order_acquire);
    // Acquired each, so that the version is read last: a fence would do, but the thread sanitizer knows none.
    const std::uint64_t anchored = anchor_.ticks.load(std::memory_order_acquire);
    const Nanos nanos = anchor_.nanos.load(std::memory_order_acquire);
    reading.rate = anchor_.rate.load(std::memory_order_acquire);
    if ((version & 1U) != 0 || version != anchor_.version.load(std::memory_order_relaxed)) {
      return false;
    }
    reading.ticks = static_cast<std::int64_t>(ticks);
    reading.nanos = nanos + scale(ticks - anchored, reading.rate);
    return ticks - anchored < kAnchorTicks && reading.rate != 0;  // a count from before the anchor wraps
  }

  static Nanos anchor() noexcept;
  static Nanos now_since_slowly(Stamp stamp, Nanos& passed) noexcept;

  static Anchor anchor_;
  static const bool kTrusted;
};

}  // namespace resilience
