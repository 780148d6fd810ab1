"""What a forked process needs to know: which locks it finds free, and what stayed behind in its parent."""

import os
import threading

forks = 0
"""Forks between the first process and this one; whatever was noted under another number stayed behind."""


def _count() -> None:
    global forks  # noqa: PLW0603 - one number a process
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)


def fork_safe_lock() -> "threading.RLock":
    """Return a lock for a module's own state, good for the life of the process.

    Whoever forks takes it first, so no other thread is in the middle of a change at that moment and the child
    finds both the lock and what it guards in order.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
