// Calling functions as if no policy and no cache stood before them, for tests of the code around them.
//
// One switch for the process, guarded by the GIL: what is called while it is on goes straight to the
// function, what was called before goes on as it began.
#pragma once

namespace resilience::bindings {

inline int bypasses = 0;  // how many blocks ask for it

[[nodiscard]] inline bool bypassed() noexcept { return bypasses != 0; }

}  // namespace resilience::bindings
