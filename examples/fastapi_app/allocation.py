"""The allocator: samples the load from the start, forecasts it, and resizes pool, caches and workers before it comes.

`GET /api/allocation` tells what it expects and the last things that it did. With `--replay` it lives through a
recorded week instead, so that a newcomer sees it at work within a minute: pool and caches really resize, and only
the number of worker processes stays.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from replay import Replay, load
from resilience.allocator import PredictiveResourceAllocator, WorkerProcesses, worker_processes
from resilience.fastapi import server_load
from resilience.observability import allocator_families
from services import Services
from settings import Settings

DECISIONS_SHOWN = 50
# The pool and the caches stay large enough for a burst that nobody foresees.
LEAST_CONNECTIONS, LEAST_CACHE_MB, MOST_CONNECTIONS = 20, 75, 100

_log = logging.getLogger(__name__)

router = APIRouter(tags=["allocation"])


def sized(settings: Settings) -> Callable[..., PredictiveResourceAllocator]:
    """Return what makes an allocator of the server's sizes and limits: those of the pool are its own."""
    pool = settings.http_pool_size
    limits = {
        "min_connections": min(LEAST_CONNECTIONS, pool),
        "max_connections": max(MOST_CONNECTIONS, pool),
        "min_cache_size_mb": LEAST_CACHE_MB,
    }
    initial = {"connections": pool}
    if settings.workers > 1:
        initial["workers"] = settings.workers
    return partial(
        PredictiveResourceAllocator,
        initial=initial,
        limits=limits,
        shadow=settings.allocation_shadow,
    )


class Allocation:
    """The allocator of this server, and the replay that feeds it, if one does."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self.replay: Replay | None = None
        if settings.replay is not None:
            recording = load(settings.replay)
            self.replay = Replay(recording, seconds=settings.replay_seconds, make=sized(settings))
        self.allocator = self.replay.allocator if self.replay else _live(services)
        for resource, resize in services.resizable:
            self.allocator.bind(resource, resize)

    def report(self) -> dict[str, Any]:
        """Return forecasts, sizes and state, and how far the replay is."""
        predictions = self.allocator.get_predictions()
        return predictions if self.replay is None else predictions | {"replay": self.replay.progress()}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Monitor, and replay where that is asked for."""
        if self.replay is not None:
            await asyncio.to_thread(self.replay.learn)
        workers = None if self.replay else _workers()
        if workers is not None:
            self.allocator.bind("workers", workers.resize)
        await self.allocator.start_monitoring()
        playing = asyncio.create_task(self.replay.run(), name="replay") if self.replay else None
        try:
            yield
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            if workers is not None:
                workers.close()  # before a resize that waits for this very worker to go
            await self.allocator.stop_monitoring()


def _workers() -> WorkerProcesses | None:
    """Return the workers of this server where their number can be changed; who can't count them serves as well."""
    try:
        return worker_processes()
    except OSError as error:
        _log.warning("the number of workers stays as it is: %s", error)
        return None


def _live(services: Services) -> PredictiveResourceAllocator:
    settings = services.settings
    return sized(settings)(
        interval=settings.allocation_interval,
        metrics_source=server_load(services.resilience),
        history_path=settings.allocation_history,
    )


@router.get("/api/allocation")
async def allocation(request: Request) -> dict[str, Any]:
    """Return what the allocator expects, and its last decisions, newest first, with their reasons."""
    services: Services = request.app.state.services
    decisions = services.allocation.allocator.audit()[-DECISIONS_SHOWN:]
    return {**services.allocation.report(), "decisions": decisions[::-1]}


def attach(app: FastAPI, services: Services) -> None:
    """Bind what the parts before this one offer; monitoring starts and stops with the server."""
    chosen = services.allocation = Allocation(services)
    services.allocator = chosen.report
    services.resilience.sources.add(lambda: allocator_families(chosen.report()), name="allocator")
    services.while_running(chosen.running)
    app.include_router(router)
