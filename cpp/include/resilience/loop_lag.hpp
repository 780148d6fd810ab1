// How late an event loop runs what is due: the engine sends a ping each interval, the loop answers when it
// gets to it, and the time between is the lag. One ping is under way at a time, so a blocked loop is not
// buried in them; a ping without an answer counts at its present age, so a loop that hangs is seen hanging.
//
// Thread-safety: all members may be called from any thread. Complexity: O(1).
#pragma once

#include <cstdint>
#include <mutex>

#include "resilience/clock.hpp"
#include "resilience/histogram.hpp"

namespace resilience {

class LoopLag {
 public:
  struct Snapshot {
    Nanos current = 0;
    Nanos p50 = 0;
    Nanos p99 = 0;
    Nanos max = 0;
    std::uint64_t samples = 0;
  };

  // True when a ping should be sent now, false while one is under way.
  [[nodiscard]] bool ping(Nanos now);
  // The loop's answer. An answer to nothing is ignored.
  void pong(Nanos now);
  // The lag now: of the last answer, or the age of a ping that waits longer than that.
  [[nodiscard]] Nanos current(Nanos now) const;
  [[nodiscard]] Snapshot snapshot(Nanos now) const;

 private:
  [[nodiscard]] Nanos waiting(Nanos now) const { return sent_ == kNone ? 0 : now - sent_; }

  static constexpr Nanos kNone = -1;

  mutable std::mutex mutex_;
  Nanos sent_ = kNone;  // all guarded by mutex_
  Nanos last_ = 0;
  Nanos max_ = 0;
  LatencyHistogram histogram_;
};

}  // namespace resilience
