"""Whether trio runs the present code, without importing it."""

import sys


def in_trio() -> bool:
    """Whether a task of trio is running; whoever doesn't use trio hasn't imported it.

    Another thread may be importing it at this moment (httpcore does with its first request): half a module has no
    task.
    """
    in_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    return in_task is not None and bool(in_task())
