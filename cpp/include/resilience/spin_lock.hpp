// A lock for sections of a few dozen instructions that run no foreign code.
//
// One atomic exchange to take, one store to release; waiters yield. Meets Lockable, so std::lock_guard works.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

namespace resilience {

#ifdef __clang__
#define RESILIENCE_CAPABILITY(x) __attribute__((capability(x)))
#define RESILIENCE_GUARDED_BY(x) __attribute__((guarded_by(x)))
#define RESILIENCE_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define RESILIENCE_ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RESILIENCE_TRY_ACQUIRE(...) __attribute__((try_acquire_capability(__VA_ARGS__)))
#define RESILIENCE_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define RESILIENCE_SCOPED __attribute__((scoped_lockable))
#define RESILIENCE_UNCHECKED __attribute__((no_thread_safety_analysis))
#else
#define RESILIENCE_CAPABILITY(x)
#define RESILIENCE_GUARDED_BY(x)
#define RESILIENCE_REQUIRES(...)
#define RESILIENCE_ACQUIRE(...)
#define RESILIENCE_TRY_ACQUIRE(...)
#define RESILIENCE_RELEASE(...)
#define RESILIENCE_SCOPED
#define RESILIENCE_UNCHECKED
#endif

class RESILIENCE_CAPABILITY("mutex") SpinLock {
 public:
  [[nodiscard]] bool try_lock() noexcept RESILIENCE_TRY_ACQUIRE(true) {
    return !held_.exchange(true, std::memory_order_acquire);
  }
  void lock() noexcept RESILIENCE_ACQUIRE() {
    while (!try_lock()) {
      while (held_.load(std::memory_order_relaxed)) {
        std::this_thread::yield();
      }
    }
  }
  void unlock() noexcept RESILIENCE_RELEASE() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

class RESILIENCE_SCOPED SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) noexcept RESILIENCE_ACQUIRE(lock) : lock_(lock) { lock_.lock(); }
  // Takes over a lock that the caller holds. To the analysis it is taken here: it can't follow a lock that a
  // function hands out.
  SpinGuard(SpinLock& lock, std::adopt_lock_t) noexcept RESILIENCE_ACQUIRE(lock) RESILIENCE_UNCHECKED
      : lock_(lock) {}
  ~SpinGuard() RESILIENCE_RELEASE() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace resilience
