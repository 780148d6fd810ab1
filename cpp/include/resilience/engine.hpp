// The one native thread that performs what machines decide: timers and posted tasks on a Boost.Asio
// io_context. Machines never see it; the code behind this header is the only one that knows Asio.
//
// Life: nothing runs before the first use. stop() joins the thread and the next use starts another;
// shut_down() joins it for good, before the interpreter goes. After fork() the child starts from nothing:
// no thread, no timers, every lock free. A fork waits for the task that is running, so that no lock is
// caught in the child by a thread that isn't there.
//
// Tasks run one at a time, on the engine's thread, under no lock of a caller. They must be short, must not
// block, must not touch Python, and should own what they use (capture a weak_ptr): cancelling a task that
// has begun does not wait for it. A task that throws is counted, not fatal.
//
// A timer never fires early. Timers on a ManualClock are that clock's own: they fire on the thread that
// advances it, and start no engine.
//
// Thread-safety: all members may be called from any thread. Complexity: O(log timers) to set and cancel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "resilience/clock.hpp"

namespace resilience {

class Engine {
 public:
  using TimerId = std::uint64_t;  // 0 is never a timer
  using Task = std::function<void()>;

  // The process's engine. It is never destroyed, so that any teardown order is safe.
  static Engine& instance();

  Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // Runs `task` once at `deadline` on the clock's scale; 0, and no run, once the engine is shut down.
  TimerId schedule(Clock& clock, Nanos deadline, Task task);
  // True when the timer had not begun and now never will.
  bool cancel(Clock& clock, TimerId id);
  // Runs `task` soon, after those posted before; false, and no run, once the engine is shut down.
  bool post(Task task);

  void stop();
  void shut_down();

  [[nodiscard]] bool running() const;
  [[nodiscard]] std::size_t pending_timers() const;
  [[nodiscard]] std::uint64_t failed_tasks() const noexcept;
  // Rises with each fork on the child's side: what was scheduled under another number is gone.
  [[nodiscard]] std::uint64_t generation() const noexcept;

  // For the library's other drivers of sockets and processes (cpp/src/engine_context.hpp).
  struct Context;
  [[nodiscard]] std::shared_ptr<Context> context();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A task that runs on the engine at a fixed rate until this handle dies. Runs missed while the machine
// slept are skipped, not made up for. The task may still be finishing when the handle's destructor returns.
class Periodic {
 public:
  // REQUIRES: interval > 0. The first run is one interval from now.
  Periodic(Engine& engine, std::shared_ptr<Clock> clock, Nanos interval, Engine::Task task);
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;
  ~Periodic();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace resilience
