"""What the parts of the server share, and how a part plugs in.

A part is a module with `attach(app, services)`: it adds its routes to the application and itself to the
services, and hands `services.while_running` a context manager for whatever has to be started and stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents import Agents
    from allocation import Allocation
    from auth import Verifier
    from batching import Batching
    from live_events import LiveEvents
    from loop_watch import LoopWatch
    from models import Models
    from nlp_processor import NlpProcessor
    from orchestrator import Orchestrator
    from pooling_probe import PoolingProbe
    from resilience.allocator import Apply
    from resilience.connections import ConnectionManager
    from resilience.fastapi import Resilience
    from run_log import RunLog
    from second_level import SecondLevel
    from settings import Settings
    from smart_dispatcher import SmartDispatcher
    from sources import Sources
    from upstream_client import UpstreamClient
    from upstream_process import LocalUpstream
    from workflows import Workflows
    from workspace import Workspace

# Cache-Control of what is the same for everybody.
PUBLIC_FOR_A_MINUTE = "public, max-age=60"
UNAVAILABLE = "unavailable"
"""The status of figures that can't be read."""

_log = logging.getLogger(__name__)

Runner = Callable[[], AbstractAsyncContextManager[object]]
Figures = Callable[[], Mapping[str, Any]]


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Do endless work in a task of this name, which is cancelled at the end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass(slots=True)
class Services:
    """The parts that are attached, by name; an attribute is set by the part of that name."""

    settings: Settings
    resilience: Resilience
    connections: ConnectionManager = field(init=False)
    second_level: SecondLevel = field(init=False)
    runs: RunLog = field(init=False)
    upstream: UpstreamClient = field(init=False)
    models: Models = field(init=False)
    batching: Batching = field(init=False)
    nlp_processor: NlpProcessor = field(init=False)
    agents: Agents = field(init=False)
    sources: Sources = field(init=False)
    workflows: Workflows = field(init=False)
    orchestrator: Orchestrator = field(init=False)
    pooling: PoolingProbe = field(init=False)
    allocation: Allocation = field(init=False)
    events: LiveEvents = field(init=False)
    loop_watch: LoopWatch = field(init=False)
    verifier: Verifier = field(init=False)
    workspace: Workspace = field(init=False)
    dispatcher: SmartDispatcher | None = None
    local_upstream: LocalUpstream | None = None
    caches: dict[str, Figures] = field(default_factory=dict)
    """`stats()` of each cache in the process, for `GET /api/metrics/cache`."""
    redis: Figures | None = None
    """Figures of the Redis level; raises ConnectionError while it is away."""
    batchers: dict[str, Figures] = field(default_factory=dict)
    """`get_metrics()` of each batcher."""
    allocator: Figures | None = None
    """`get_predictions()` of the allocator."""
    resizable: list[tuple[str, Apply]] = field(default_factory=list)
    """What the allocator resizes: a resource's name and what sets its size."""
    pools: dict[str, int] = field(default_factory=dict)
    """Size of each connection pool but the HTTP pool, which can be resized."""
    databases: dict[str, Figures] = field(default_factory=dict)
    """Figures of each database's pool."""
    figures: dict[str, Figures] = field(default_factory=dict)
    """What each part adds to `GET /api/metrics`."""
    _runners: list[Runner] = field(default_factory=list)
    _unreadable: set[str] = field(default_factory=set)

    def read(self, name: str, figures: Figures) -> dict[str, Any]:
        """Return a part's figures; one that fails says so in their place, and is logged when it begins to."""
        try:
            read = dict(figures())
        except Exception as error:  # noqa: BLE001 - whatever it is, the other parts' figures are wanted
            if name not in self._unreadable:
                _log.warning("the figures of %s can't be read: %r", name, error)
            self._unreadable.add(name)
            return {"status": UNAVAILABLE, "reason": type(error).__name__}
        self._unreadable.discard(name)
        return read

    def while_running(self, runner: Runner) -> None:
        """Enter what `runner` returns when the server starts; leave it, last in first out, when it stops."""
        self._runners.append(runner)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run every part."""
        async with AsyncExitStack() as stack:
            for runner in self._runners:
                await stack.enter_async_context(runner())
            yield
