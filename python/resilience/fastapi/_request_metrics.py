"""What the middleware measured: requests by route, and percentiles of the last minute.

Counting is native (`request_metrics.hpp`): O(1) a request, and memory is bounded.
"""

from dataclasses import dataclass

from resilience import _core

# Buckets published to Prometheus, seconds.
EXPORTED_BOUNDS = tuple(_core.RequestMetrics.bounds())


@dataclass(frozen=True, slots=True)
class Series:
    """Requests to one route with one method and one status."""

    seconds: float
    buckets: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


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


class RequestMetrics:
    """Counts and times requests; one an application, used from its event loop.

    Args:
        clock: Where time comes from; the system's clock when None.
    """

    def __init__(self, clock: _core.Clock | None = None) -> None:
        self._machine = _core.RequestMetrics(clock=clock)

    @property
    def series(self) -> dict[tuple[str, str, int], Series]:
        """Requests by method, route template and status, as of now."""
        return {
            (method, route, status): Series(seconds, buckets)
            for method, route, status, seconds, buckets in self._machine.series()
        }

    @property
    def active(self) -> int:
        """Requests in progress."""
        return self._machine.active

    @active.setter
    def active(self, value: int) -> None:
        self._machine.active = value

    @property
    def websockets(self) -> int:
        """WebSockets that are open."""
        return self._machine.websockets

    @websockets.setter
    def websockets(self, value: int) -> None:
        self._machine.websockets = value

    @property
    def total(self) -> int:
        """Requests since these metrics began."""
        return self._machine.requests()

    @property
    def seconds(self) -> float:
        """Seconds that all of them took together."""
        return self._machine.seconds()

    @property
    def uptime(self) -> float:
        """Seconds since these metrics began."""
        return self._machine.age()

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record one finished request.

        Args:
            method: HTTP method; unknown ones are counted together.
            route: The route's template, or what stands for none.
            status: The status answered, 0 for none.
            seconds: From the first byte of the request to the last of the response.
        """
        self._machine.observe(method, route, status, seconds)

    def last_minute(self) -> Summary:
        """Summarise the requests of the last 60 seconds; a percentile is within 6 %."""
        return Summary(*self._machine.last_minute())

    def probes_of_last_minute(self) -> Summary:
        """Summarise the cheapest routes alone: those that an orchestrator asks."""
        return Summary(*self._machine.probes_of_last_minute())
