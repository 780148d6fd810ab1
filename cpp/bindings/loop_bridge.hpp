// One event loop as native threads see it: a completion queue, an eventfd (elsewhere a pipe) that the loop
// watches with add_reader, and the handlers that run on the loop for what arrives. A loop that can't watch
// descriptors is served by a Python thread that waits on the queue and uses call_soon_threadsafe.
//
// A bridge lives as long as its loop is open. What the loop watches with is an object that it alone owns, so
// when the loop closes, or goes away unclosed, that object dies and the bridge with it: the descriptor is
// closed and every handler told. A forked child has none of its parent's bridges, and wakes nobody there.
//
// Thread-safety: the queue may be used from any thread without the GIL; all else needs the GIL.
#pragma once

#include <Python.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>

#include "resilience/completion_queue.hpp"

namespace resilience::bindings {

class LoopBridge {
 public:
  // What a handler does on the loop's thread; false with a Python exception set.
  using OnCompletion = std::function<bool(std::int64_t value)>;
  // The loop is gone: nothing can be scheduled on it. Runs once, and must not leave an exception.
  using OnClosed = std::function<void()>;

  // The bridge of a loop, made on first use; null with an exception set.
  static std::shared_ptr<LoopBridge> of(PyObject* loop);
  // Ends every bridge: at the interpreter's exit, and in a forked child.
  static void end_all();

  explicit LoopBridge(PyObject* loop);
  LoopBridge(const LoopBridge&) = delete;
  LoopBridge& operator=(const LoopBridge&) = delete;
  ~LoopBridge();

  // What to write into Completion::handler.
  std::uint64_t attach(OnCompletion on_completion, OnClosed on_closed);
  void detach(std::uint64_t handler);
  [[nodiscard]] const std::shared_ptr<CompletionQueue>& queue() const noexcept { return queue_; }

  // Runs the handlers of what has arrived; false with the exception of one that failed set, which leaves the
  // rest to the next call.
  bool drain();
  void end();

 private:
  struct Handler {
    OnCompletion on_completion;
    OnClosed on_closed;
  };

  bool connect(const std::shared_ptr<LoopBridge>& self);

  PyObject* loop_;  // borrowed, an identity only: never followed
  int read_end_ = -1;
  int write_end_ = -1;
  bool ended_ = false;
  std::shared_ptr<CompletionQueue> queue_;
  std::deque<Completion> arrived_;  // drained, and not yet handled
  std::unordered_map<std::uint64_t, Handler> handlers_;
  std::uint64_t next_handler_ = 1;
};

}  // namespace resilience::bindings
