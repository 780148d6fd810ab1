"""What an allocator is told about one interval, whoever measured it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from resilience._checks import as_float

# Other names that are understood, because services call the same things differently.
_NAMES: dict[str, tuple[str, ...]] = {
    "rpm": ("rpm", "requests_per_minute"),
    "connections": ("connections", "active_connections"),
    "response_time": ("response_time", "avg_response_time"),
    "cpu_cores": ("cpu_cores",),
    "memory_fraction": ("memory_fraction",),
    "timestamp": ("timestamp",),
}

_SHORTEST = 1.0  # seconds; over less a rate says nothing


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """What was measured over one interval; None for what was not.

    Attributes:
        rpm: Requests a minute.
        connections: Open at once.
        response_time: Mean, seconds.
        cpu_cores: In use by the process and its children.
        memory_fraction: In use of what the machine or the cgroup allows, [0, 1].
        timestamp: UNIX seconds; the clock's by default.
    """

    rpm: float | None = None
    connections: float | None = None
    response_time: float | None = None
    cpu_cores: float | None = None
    memory_fraction: float | None = None
    timestamp: float | None = None


Metrics = ResourceMetrics | Mapping[str, Any] | object
MetricsSource = Callable[[], Metrics | Awaitable[Metrics | None] | None]


def as_figures(metrics: Metrics | None) -> dict[str, float | None]:
    """Return the figures of a mapping or an object by their canonical names.

    Also understood: `requests_per_minute`, `active_connections`, `avg_response_time`.

    Raises:
        TypeError: when a figure is no number, or there is none at all where something was given.
    """
    if metrics is None or metrics == {}:
        return dict.fromkeys(_NAMES)
    if not _has_figures(metrics):
        raise TypeError(f"metrics must have some of {', '.join(_NAMES)}, got {metrics!r}")
    get = metrics.get if isinstance(metrics, Mapping) else lambda name: getattr(metrics, name, None)
    figures: dict[str, float | None] = {}
    for name, names in _NAMES.items():
        value = next((found for known in names if (found := get(known)) is not None), None)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"metrics: {name} must be a number or None, got {value!r}")
        figures[name] = None if value is None else as_float(value)
    return figures


def _has_figures(metrics: Metrics) -> bool:
    known = (name for names in _NAMES.values() for name in names)
    if isinstance(metrics, Mapping):
        return any(name in metrics for name in known)
    return any(hasattr(metrics, name) for name in known)


class RequestCounters(Protocol):
    """What the request middleware counts (`resilience.fastapi.RequestMetrics`)."""

    active: int
    websockets: int

    @property
    def total(self) -> int:
        """Finished requests."""

    @property
    def seconds(self) -> float:
        """Seconds spent serving all finished requests."""


class RequestSource:
    """Turns a middleware's counters into rates. Reading them costs next to nothing, so the loop may.

    Args:
        counters: Requests in all and in flight, open WebSockets, seconds in all.
        now: Monotonic seconds.
    """

    def __init__(self, counters: RequestCounters, now: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._now = now
        self._last = (now(), counters.total, counters.seconds)

    def read(self) -> ResourceMetrics:
        """Return the figures since the last reading; only the connections when it was less than a second ago."""
        connections = float(self._counters.active + self._counters.websockets)
        now, total, seconds = self._now(), self._counters.total, self._counters.seconds
        then, total_then, seconds_then = self._last
        if now - then < _SHORTEST:
            return ResourceMetrics(connections=connections)
        self._last = (now, total, seconds)
        requests = total - total_then
        return ResourceMetrics(
            rpm=60.0 * requests / (now - then),
            connections=connections,
            response_time=max(0.0, seconds - seconds_then) / requests if requests else None,
        )
