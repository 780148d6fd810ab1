"""How late the event loop ran what was due in the last minute.

The gauge of the library tells the present lag, and percentiles since the start: what matters to a score of the last
minute is in neither. A request waits that long before any code that could time it has it.
"""

import asyncio
import statistics
from collections import deque
from collections.abc import Callable

from fastapi import FastAPI

from services import Services, in_background

INTERVAL = 0.1  # as often as the gauge measures
SPAN = 60.0


class LoopWatch:
    """Reads the gauge ten times a second and keeps a minute of it.

    Args:
        lag: Returns the present lag in seconds.
    """

    def __init__(self, lag: Callable[[], float]) -> None:
        self._lag = lag
        self._lags: deque[float] = deque(maxlen=round(SPAN / INTERVAL))

    @property
    def median(self) -> float | None:
        """Seconds that half of the readings are below; None before the first."""
        return statistics.median(self._lags) if self._lags else None

    def figures(self) -> dict[str, float | None]:
        """Return what `GET /api/metrics` shows."""
        median = self.median
        return {
            "median_lag_ms": None if median is None else round(median * 1e3, 3),
            "worst_lag_ms": round(max(self._lags) * 1e3, 3) if self._lags else None,
        }

    def read(self) -> None:
        """Take one reading."""
        self._lags.append(self._lag())

    async def watch(self) -> None:
        """Take readings until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.read()


def attach(_app: FastAPI, services: Services) -> None:
    """Watch while the server runs."""
    watch = services.loop_watch = LoopWatch(services.resilience.lag)
    services.figures["event_loop"] = watch.figures
    services.while_running(lambda: in_background(watch.watch(), "loop-watch"))
