"""The log of requests that failed by an exception: its traceback, but not the same one again and again.

Formatting a traceback through an HTTP client takes milliseconds of the event loop, in which no other request gets on.
While an upstream is down it is the same one for every attempt: it is told in full once in a while, and by one line
between.
"""

import logging
import time
from collections.abc import Callable

from resilience.fastapi._correlation import correlation_id

INTERVAL = 10.0
MAX_KINDS = 256

_log = logging.getLogger("resilience.fastapi")

_Kind = tuple[type[BaseException], object, int]


class ErrorLog:
    """Tells of errors; those of one type that were raised at one place are of one kind.

    Args:
        interval: Seconds in which a traceback of one kind is told once.
        clock: Monotonic seconds.
    """

    def __init__(self, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._told: dict[_Kind, float] = {}

    def tell(self, error: Exception) -> None:
        """Log the failure of the present request."""
        now, kind = self._clock(), _kind(error)
        told = self._told.get(kind)
        if told is not None and now - told < self._interval:
            _log.error("request %s failed as another before it: %r", correlation_id(), error)
            return
        self._told.pop(kind, None)
        if len(self._told) >= MAX_KINDS:
            del self._told[next(iter(self._told))]  # the one that was told longest ago
        self._told[kind] = now
        _log.error("request %s failed", correlation_id(), exc_info=error)


def _kind(error: Exception) -> _Kind:
    traceback = error.__traceback__
    if traceback is None:
        return type(error), None, 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return type(error), traceback.tb_frame.f_code, traceback.tb_lineno
