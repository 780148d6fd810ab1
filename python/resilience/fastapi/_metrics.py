"""`GET /metrics`: everything this service measures, in Prometheus' text format."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from resilience.fastapi._health import DependencyChecks, Status
from resilience.fastapi._request_metrics import EXPORTED_BOUNDS, RequestMetrics
from resilience.observability import Family, Source, WorkerShare, breaker_families, gauge, shared_folder
from resilience.observability._families import add_to

PUBLISH_INTERVAL = 1.0

_log = logging.getLogger("resilience.fastapi")

metrics_router = APIRouter(tags=["metrics"])


@dataclass(slots=True)
class _Named:
    """A source, and how often it failed."""

    name: str
    source: Source
    failures: int = 0
    is_failing: bool = False

    def families(self) -> list[Family]:
        """Return what it measured, all or nothing; a failure is counted, and logged when it is the first in a row."""
        try:
            families = list(self.source())
            for family in families:
                family.check()
        except Exception as error:  # noqa: BLE001 - sources are anybody's, and the others' figures are wanted
            self.failures += 1
            if not self.is_failing:
                _log.warning("the metrics of %s are left out: %r", self.name, error)
            self.is_failing = True
            return []
        self.is_failing = False
        return families


class MetricSources:
    """Where `GET /metrics` gathers from; `add` brings caches, batchers and whatever else the service has."""

    def __init__(self) -> None:
        self._sources: list[_Named] = []
        self._share: WorkerShare | None = None
        self.add(breaker_families, name="circuit_breakers")

    def add(self, source: Source, *, name: str | None = None) -> None:
        """Gather from one more function that returns families.

        While it raises, its families are left out and the others are shown; each failure is counted in
        `resilience_metric_source_failures_total`.

        Args:
            source: Called for each scrape, on the event loop.
            name: In that metric and in the log; by default the function's own with its module.
        """
        self._sources.append(_Named(name or _name_of(source), source))

    def own(self) -> list[Family]:
        """Return what this process measured; of what several sources measure, one family with the series of all."""
        families: dict[str, Family] = {}
        failures = Family("resilience_metric_source_failures", "counter", "Readings that failed, by source")
        for each in self._sources:
            for family in each.families():
                add_to(families, family)
            failures.put(each.failures, source=each.name)
        return [*families.values(), failures]

    async def gather(self) -> list[Family]:
        """Return what all workers of this server measured; files are read in a thread, figures never.

        It is this worker's alone while the shared folder can't be read.
        """
        own = self.own()
        if self._share is None:
            return own
        try:
            return await asyncio.to_thread(self._share.merged, own)
        except OSError as error:
            _log.warning("the metrics are this worker's alone: %s", error)
            return own

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Publish this worker's figures to its siblings until left; nothing to do for a lone process."""
        folder = shared_folder()
        if folder is None:
            yield
            return
        self._share = WorkerShare(folder)
        leaving = asyncio.Event()
        task = asyncio.create_task(self._publish(self._share, leaving), name="resilience-metrics-share")
        try:
            yield
        finally:
            leaving.set()
            await task

    async def _publish(self, share: WorkerShare, leaving: asyncio.Event) -> None:
        """Publish again and again, and for the last time when this worker leaves.

        One write at a time: the last snapshot has every request in it, and no older one may replace it.
        A full disk or a removed folder is told of once and outlived.
        """
        told = last = False
        while not last:
            last = leaving.is_set()
            try:
                await asyncio.to_thread(share.publish, self.own())
                told = False
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may do better
                if not told:
                    _log.warning("this worker's metrics can't be shared: %r", error)
                told = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_INTERVAL):
                    await leaving.wait()


def _name_of(source: Source) -> str:
    named = source if hasattr(source, "__qualname__") else type(source)
    return f"{named.__module__}.{named.__qualname__}"


def http_families(metrics: RequestMetrics) -> Iterable[Family]:
    """Return requests by method, route and status, their durations, and what is in progress."""
    served = Family("resilience_http_requests", "counter", "Requests by method, route template and status")
    durations = Family(
        "resilience_http_request_duration_seconds",
        "histogram",
        "From the first byte of a request to the last of its response",
        bounds=EXPORTED_BOUNDS,
    )
    for (method, route, status), series in metrics.series.items():
        served.put(series.count, method=method, route=route, status=str(status))
        labels = (("method", method), ("route", route))
        durations.add(labels, [*map(float, series.buckets), series.seconds])
    active = {"http": float(metrics.active), "websocket": float(metrics.websockets)}
    return served, durations, gauge("resilience_connections_active", "Requests in progress", active)


def dependency_families(dependencies: DependencyChecks) -> Iterable[Family]:
    """Return whether each dependency answered its last check."""
    states = {name: float(report["status"] == Status.UP) for name, report in dependencies.report().items()}
    return (gauge("resilience_dependency_up", "1 when the last check succeeded", states, merge="max"),)


@metrics_router.get("/metrics", response_class=Response)
async def prometheus(request: Request) -> Response:
    """Return the metrics of this server, all its workers included."""
    from resilience.observability._prometheus import CONTENT_TYPE, render

    sources: MetricSources = request.app.state.resilience.sources
    return Response(render(await sources.gather()), headers={"Content-Type": CONTENT_TYPE})
