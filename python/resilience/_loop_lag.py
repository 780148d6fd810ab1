"""A gauge of how late an event loop runs what is due, the first sign of blocking code on it."""

import asyncio
from typing import Any, Self

from resilience import _core


class LoopLag:
    """Pings the event loop from a native thread and measures how long it takes to answer.

    A loop that blocks is seen while it blocks: `stats` may be read from any thread, and counts a ping without
    an answer at its present age. Use it as a context manager, or call `start` and `stop`.

    Args:
        interval: seconds between two pings, > 0. Another ping is sent only when the last was answered.
        clock: where the gauge takes its time from; the system clock by default.

    Raises:
        ValueError: when `interval` is out of range.
    """

    def __init__(self, interval: float = 0.1, *, clock: _core.Clock | None = None) -> None:
        if not interval > 0:
            raise ValueError(f"interval must be a number of seconds > 0, got {interval!r}")
        self._interval = interval
        self._clock = clock
        self._gauge: _core.LoopLagGauge | None = None

    def start(self) -> None:
        """Begin to measure the running loop, with empty statistics.

        Raises:
            RuntimeError: when no loop is running in this thread.
        """
        self.stop()
        self._gauge = _core.LoopLagGauge(asyncio.get_running_loop(), self._interval, self._clock)

    def stop(self) -> None:
        """Send no further pings; the statistics stay readable."""
        if self._gauge is not None:
            self._gauge.stop()

    @property
    def current(self) -> float:
        """The lag now in seconds, 0 before the start; cheap enough to ask for each request."""
        return 0.0 if self._gauge is None else self._gauge.current()

    def stats(self) -> dict[str, Any]:
        """Return `running`, `samples`, and the lag in ms: `current_ms`, `p50_ms`, `p99_ms`, `max_ms`."""
        if self._gauge is None:
            figures = dict.fromkeys(("current_ms", "p50_ms", "p99_ms", "max_ms"), 0.0)
            return {"running": False, **figures, "samples": 0}
        return self._gauge.stats()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
