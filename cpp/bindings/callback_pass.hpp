// Callbacks of many futures as one callback of their loop: each runs in its own context, one that raises is
// reported to the loop as the loop itself would, and KeyboardInterrupt or SystemExit leave at once, with the
// rest scheduled anew. Needs the GIL and the loop's thread.
#pragma once

#include <Python.h>

#include <cstddef>
#include <vector>

namespace resilience::bindings {

bool init_callback_pass();

class CallbackPass {
 public:
  CallbackPass() = default;
  CallbackPass(const CallbackPass&) = delete;
  CallbackPass& operator=(const CallbackPass&) = delete;
  ~CallbackPass();

  // Takes over the references to callback and context; shares the future.
  void add(PyObject* callback, PyObject* context, PyObject* future);
  // Schedules what was added on `loop`: one callback of the loop. On a closed loop nobody waits, and nothing
  // is scheduled.
  void schedule(PyObject* loop);

  struct Entry {
    PyObject* callback;
    PyObject* context;
    PyObject* future;
  };

 private:
  std::vector<Entry> entries_;
};

}  // namespace resilience::bindings
