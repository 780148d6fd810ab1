"""The priority of calls, which the queues of limits and batchers read."""

from contextvars import ContextVar
from typing import Any

from resilience._checks import whole

PRIORITY: ContextVar[int] = ContextVar("resilience_priority", default=0)


def current_priority() -> int:
    """The priority that the running code was given by `priority`."""
    return PRIORITY.get()


class priority:  # noqa: N801 # a context manager reads as a verb
    """Gives the calls made inside a priority in the queues of limits.

    ``with priority(10): ...``. Higher numbers are served first, equal ones in order of arrival; 0 is the default.
    It goes with the context: tasks started inside inherit it.

    Args:
        n: any integer.

    Raises:
        TypeError: if `n` is not an integer.
    """

    def __init__(self, n: int) -> None:
        self._n = whole("n", n)
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        self._tokens.append(PRIORITY.set(self._n))

    def __exit__(self, *exc_info: object) -> None:
        PRIORITY.reset(self._tokens.pop())
