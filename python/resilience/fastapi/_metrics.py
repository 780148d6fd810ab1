"""`GET /metrics`: everything this service measures, in Prometheus' text format."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from itertools import chain

from fastapi import APIRouter, Request
from starlette.responses import Response

from resilience.fastapi._health import DependencyChecks, Status
from resilience.fastapi._request_metrics import EXPORTED_BOUNDS, RequestMetrics
from resilience.observability import Family, Source, WorkerShare, breaker_families, gauge, shared_folder

PUBLISH_INTERVAL = 1.0

_log = logging.getLogger("resilience.fastapi")

metrics_router = APIRouter(tags=["metrics"])


class MetricSources:
    """Where `GET /metrics` gathers from; `add` brings caches, batchers and whatever else the service has."""

    def __init__(self) -> None:
        self._sources: list[Source] = [breaker_families]
        self._share: WorkerShare | None = None

    def add(self, source: Source) -> None:
        """Gather from one more function that returns families."""
        self._sources.append(source)

    def own(self) -> list[Family]:
        """Return what this process measured."""
        return list(chain.from_iterable(source() for source in self._sources))

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
        A full disk, a removed folder or a source that fails is told of once and outlived.
        """
        told = last = False
        while not last:
            last = leaving.is_set()
            try:
                await asyncio.to_thread(share.publish, self.own())
                told = False
            except Exception as error:  # noqa: BLE001 - sources are anybody's
                if not told:
                    _log.warning("this worker's metrics can't be shared: %r", error)
                told = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_INTERVAL):
                    await leaving.wait()


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
