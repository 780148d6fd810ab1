"""Installs that several test runs of one tree share: the first makes it, the others wait and find it made."""

import fcntl
import functools
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".cache"


def one_at_a_time(install):
    """Let only one process of this tree be inside `install`, a function that first looks whether it is needed."""

    @functools.wraps(install)
    def locked():
        CACHE.mkdir(exist_ok=True)
        with (CACHE / f"{install.__module__}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return install()

    return locked
