"""What the middleware measured: requests by route, and percentiles of the last minute.

Observing costs O(1) and memory is bounded: series are keyed by route template (never by path), and the
minute is a ring of one-second slots, each a histogram with buckets 9 % apart.
"""

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

MINUTE = 60
SERVER_ERROR = 500
UNMATCHED = "<unmatched>"

# Answered however busy the service is: an orchestrator that got no answer would restart it.
PROBES = frozenset({"/healthz", "/health", "/ready", "/metrics"})

# 50 us to about 65 s; a percentile is a bucket's upper bound, so it errs by at most 9 % upwards.
_BOUNDS = tuple(5e-5 * 2 ** (step / 8) for step in range(164))

# Buckets published to Prometheus, seconds.
EXPORTED_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})


@dataclass(slots=True)
class Series:
    """Requests to one route with one method and one status."""

    failed: bool
    is_probe: bool
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(EXPORTED_BOUNDS) + 1))

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


@dataclass(slots=True)
class _Second:
    """The requests that ended within one second."""

    at: int = -1
    errors: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))

    def restart(self, at: int) -> None:
        self.at = at
        self.errors = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(_BOUNDS) + 1)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over a span of time; durations in seconds, None where nothing was measured."""

    span: float
    requests: int
    errors: int
    mean: float | None
    p50: float | None
    p99: float | None

    @property
    def rps(self) -> float:
        """Requests per second over the span."""
        return self.requests / self.span

    @property
    def success_rate(self) -> float | None:
        """Share of requests not answered by a 5xx, or None without requests."""
        return (self.requests - self.errors) / self.requests if self.requests else None


class MinuteWindow:
    """The last 60 seconds of something that takes time and may fail.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._born = clock()
        self._ring = [_Second() for _ in range(MINUTE)]

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._born

    def observe(self, seconds: float, *, failed: bool) -> None:
        """Record one."""
        now = int(self._clock())
        second = self._ring[now % MINUTE]
        if second.at != now:
            second.restart(now)
        second.seconds += seconds
        second.errors += failed
        second.buckets[bisect_left(_BOUNDS, seconds)] += 1

    def summary(self) -> Summary:
        """Summarise the last 60 seconds, or the time since the start when that is shorter."""
        now = self._clock()
        live = [second for second in self._ring if now - MINUTE < second.at <= now]
        merged = [sum(column) for column in zip(*(second.buckets for second in live), strict=True)]
        requests = sum(merged)
        return Summary(
            span=max(1.0, min(float(MINUTE), now - self._born)),
            requests=requests,
            errors=sum(second.errors for second in live),
            mean=sum(second.seconds for second in live) / requests if requests else None,
            p50=_quantile(merged, requests, 0.5),
            p99=_quantile(merged, requests, 0.99),
        )


class RequestMetrics:
    """Counts and times requests; one an application, used from its event loop.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._minute = MinuteWindow(clock)
        self._probes = MinuteWindow(clock)
        self.series: dict[tuple[str, str, int], Series] = {}
        self.active = 0
        self.websockets = 0

    @property
    def total(self) -> int:
        """Requests since these metrics began."""
        return sum(series.count for series in self.series.values())

    @property
    def seconds(self) -> float:
        """Seconds that all of them took together."""
        return sum(series.seconds for series in self.series.values())

    @property
    def uptime(self) -> float:
        """Seconds since these metrics began."""
        return self._minute.age

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record one finished request.

        Args:
            method: HTTP method; unknown ones are counted together.
            route: The route's template, or `UNMATCHED`.
            status: The status answered, 0 for none.
            seconds: From the first byte of the request to the last of the response.
        """
        series = self.series.get((method, route, status))
        if series is None:
            series = self._series_of(method, route, status)
        series.seconds += seconds
        series.buckets[bisect_left(EXPORTED_BOUNDS, seconds)] += 1
        self._minute.observe(seconds, failed=series.failed)
        if series.is_probe:
            self._probes.observe(seconds, failed=series.failed)

    def _series_of(self, method: str, route: str, status: int) -> Series:
        key = (method if method in _METHODS else "OTHER", route, status)
        if key not in self.series:
            self.series[key] = Series(failed=status >= SERVER_ERROR, is_probe=route in PROBES)
        return self.series[key]

    def last_minute(self) -> Summary:
        """Summarise the requests of the last 60 seconds."""
        return self._minute.summary()

    def probes_of_last_minute(self) -> Summary:
        """Summarise the cheapest routes alone, `PROBES`."""
        return self._probes.summary()


def _quantile(buckets: list[int], total: int, q: float) -> float | None:
    """Return the upper bound of the bucket that holds the q-th value."""
    if not total:
        return None
    rank = q * total
    seen = 0
    for bound, count in zip(_BOUNDS, buckets, strict=False):
        seen += count
        if seen >= rank:
            return bound
    return _BOUNDS[-1]
