"""Locks that a forked process finds free."""

import os
import threading


def fork_safe_lock() -> "threading.RLock":
    """Return a lock for a module's own state, good for the life of the process.

    Whoever forks takes it first, so no other thread is in the middle of a change at that moment and the child
    finds both the lock and what it guards in order.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
