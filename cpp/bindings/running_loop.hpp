// The event loop that runs in this thread.
#pragma once

#include <Python.h>

namespace resilience::bindings {

// What asyncio.get_running_loop() answers: a new reference. Null with an exception set when no loop runs:
// RuntimeError(otherwise). Needs the GIL.
PyObject* running_loop(const char* otherwise);

bool init_running_loop();

}  // namespace resilience::bindings
