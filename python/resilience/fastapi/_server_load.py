"""The load of a whole server, all its workers together, as an allocator samples it."""

import time
from collections.abc import Awaitable, Callable, Iterable

from resilience.allocator import RequestSource, ResourceMetrics
from resilience.fastapi._install import Resilience
from resilience.observability import Family


class _Totals:
    """Counters of all workers, the last time they were gathered."""

    def __init__(self) -> None:
        self.total = self.active = self.websockets = 0
        self.seconds = self.cpu = 0.0

    def take(self, families: Iterable[Family]) -> None:
        by_name = {family.name: family.values for family in families}
        self.total = int(sum(count for (count,) in by_name["resilience_http_requests"].values()))
        durations = by_name["resilience_http_request_duration_seconds"].values()
        self.seconds = sum(numbers[-1] for numbers in durations)
        active = by_name["resilience_connections_active"]
        self.active = int(active[(("name", "http"),)][0])
        self.websockets = int(active[(("name", "websocket"),)][0])
        self.cpu = by_name["resilience_process_cpu_seconds"][()][0]


def server_load(
    state: Resilience, now: Callable[[], float] = time.monotonic
) -> Callable[[], Awaitable[ResourceMetrics]]:
    """Return a `metrics_source` for an allocator: requests, connections and CPU of all workers of this server.

    Args:
        state: What `install` returned.
        now: Monotonic seconds.
    """
    totals = _Totals()
    source: RequestSource | None = None
    last = (0.0, 0.0)

    async def read() -> ResourceMetrics:
        nonlocal source, last
        totals.take(await state.sources.gather())
        if source is None:
            source = RequestSource(totals, now)
        seen = source.read()
        (then, cpu), last = last, (now(), totals.cpu)
        cores = max(0.0, totals.cpu - cpu) / (last[0] - then) if seen.rpm is not None else None
        return ResourceMetrics(seen.rpm, seen.connections, seen.response_time, cores)

    return read
