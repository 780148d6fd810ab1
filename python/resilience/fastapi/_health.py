"""Health: dependencies checked in the background, and the routes that report them.

No request ever waits for a dependency: the routes read what the last check found and say how old it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from time import monotonic, perf_counter
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from resilience import State, get_all_circuit_breakers
from resilience._waiting import is_being_cancelled
from resilience.fastapi._problems import DEFAULT_RETRY_AFTER, whole_seconds

_log = logging.getLogger("resilience.fastapi")

Check = Callable[[], Awaitable[object]]
Figures = Callable[[], Mapping[str, Any]]


class Status(StrEnum):
    """What a dependency's last check found."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Dependency:
    """One thing the service needs, and what its last check found."""

    check: Check
    required: bool
    figures: Figures | None = None
    status: Status = Status.UNKNOWN
    latency: float | None = None
    checked_at: float | None = None
    error: str | None = None

    def report(self) -> dict[str, Any]:
        """Return the state for a JSON body; an error is named by its class, whose text could name hosts."""
        report = {
            "status": self.status.value,
            "required": self.required,
            "latency_ms": None if self.latency is None else round(self.latency * 1e3, 3),
            "checked_seconds_ago": None
            if self.checked_at is None
            else round(monotonic() - self.checked_at, 3),
            "error": self.error,
        }
        return report if self.figures is None else report | self._figures(self.figures)

    @staticmethod
    def _figures(figures: Figures) -> dict[str, Any]:
        """Return the pool's figures, or which error stands in their place: health is told of in any case."""
        try:
            return {"figures": dict(figures())}
        except Exception as error:  # noqa: BLE001 - pools are anybody's
            return {"figures": None, "figures_error": type(error).__name__}


class DependencyChecks:
    """The dependencies of a service, checked every `interval` seconds while `running`.

    Args:
        interval: Seconds between two checks of one dependency.
        timeout: Seconds after which a check counts as failed.
    """

    def __init__(self, *, interval: float = 5.0, timeout: float = 2.0) -> None:
        self._interval = interval
        self._timeout = timeout
        self._dependencies: dict[str, Dependency] = {}

    def add(self, name: str, check: Check, *, required: bool = False, figures: Figures | None = None) -> None:
        """Watch a dependency.

        Args:
            name: in the reports.
            check: returns when the dependency is well and raises when it isn't.
            required: whether the service isn't ready without it.
            figures: of its pool, read for each report; anybody may see them.
        """
        self._dependencies[name] = Dependency(check, required, figures)

    def report(self) -> dict[str, dict[str, Any]]:
        """Return every dependency's state, JSON-ready."""
        return {name: dependency.report() for name, dependency in self._dependencies.items()}

    @property
    def required_are_up(self) -> bool:
        """Whether every required dependency answered its last check."""
        return all(d.status is Status.UP for d in self._dependencies.values() if d.required)

    @property
    def none_is_down(self) -> bool:
        """Whether no dependency failed its last check."""
        return all(d.status is not Status.DOWN for d in self._dependencies.values())

    async def check_all(self) -> None:
        """Check every dependency once, side by side."""
        await asyncio.gather(*(self._check(name, d) for name, d in self._dependencies.items()))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check once, then in the background until left."""
        await self.check_all()
        watcher = asyncio.create_task(self._watch(), name="resilience-dependency-checks")
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.check_all()

    async def _check(self, name: str, dependency: Dependency) -> None:
        started = perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                await dependency.check()
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, the dependency is down
            if is_being_cancelled():
                raise
            found, dependency.error = Status.DOWN, type(error).__name__
        else:
            found, dependency.error = Status.UP, None
        if found is not dependency.status:
            _log.info("dependency %s is %s", name, found)
        dependency.status = found
        dependency.latency = perf_counter() - started
        dependency.checked_at = monotonic()


class Phase(StrEnum):
    """Where the service is in its life; only a serving one is ready."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Lifecycle:
    """The phase that a service is in, and who wants to know when it begins to drain."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.is_draining = False
        self._on_drain: list[Callable[[], object]] = []

    def on_drain(self, callback: Callable[[], object]) -> None:
        """Call back once, on the event loop, when draining begins."""
        self._on_drain.append(callback)

    def serve(self) -> None:
        """Be ready, also after having drained: an application may start again."""
        self.phase, self.is_draining = Phase.SERVING, False

    def drain(self) -> None:
        """Begin to drain: not ready any more, connections are closed after their response, streams end."""
        if not self.is_draining:
            self.phase, self.is_draining = Phase.DRAINING, True
            for callback in self._on_drain:
                try:
                    callback()
                except Exception:  # noqa: BLE001 - whatever it is, the others are told and the service ends
                    _log.exception("%r failed when draining began", callback)


health_router = APIRouter(tags=["health"])

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "Not now; try again after `Retry-After` seconds.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@health_router.get("/healthz")
async def alive() -> JSONResponse:
    """Answer that the process lives; touches nothing."""
    return JSONResponse({"status": "ok"})


@health_router.get("/health", responses=_UNAVAILABLE)
async def health(request: Request) -> JSONResponse:
    """Report the service and its dependencies as the last background check found them."""
    state = request.app.state.resilience
    checks: DependencyChecks = state.dependencies
    open_breakers = [name for name, breaker in get_all_circuit_breakers().items() if _is_open(breaker.state)]
    if not checks.required_are_up:
        status = "unhealthy"
    elif open_breakers or not checks.none_is_down:
        status = "degraded"
    else:
        status = "healthy"
    body = {
        "status": status,
        "uptime_seconds": round(state.metrics.uptime, 3),
        "dependencies": checks.report(),
        "open_circuit_breakers": open_breakers,
    }
    return _answer(body, available=status != "unhealthy")


@health_router.get("/ready", responses=_UNAVAILABLE)
async def ready(request: Request) -> JSONResponse:
    """Report whether to send requests here: not while starting, draining or lacking what is required."""
    state = request.app.state.resilience
    is_ready = state.lifecycle.phase is Phase.SERVING and state.dependencies.required_are_up
    body = {
        "status": "ready" if is_ready else "not ready",
        "phase": state.lifecycle.phase.value,
        "dependencies": state.dependencies.report(),
    }
    return _answer(body, available=is_ready)


def _is_open(state: State) -> bool:
    return state in (State.OPEN, State.FORCED_OPEN)


def _answer(body: dict[str, Any], *, available: bool) -> JSONResponse:
    if available:
        return JSONResponse(body)
    headers = {"Retry-After": whole_seconds(DEFAULT_RETRY_AFTER)}
    return JSONResponse(body, status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)


circuit_breaker_router = APIRouter(tags=["circuit breakers"])


@circuit_breaker_router.get("/circuit-breakers/health", responses=_UNAVAILABLE)
async def circuit_breakers(*, strict: bool = False) -> Response:
    """List every breaker with its state; with `strict=1`, answer 503 while any is open."""
    breakers = get_all_circuit_breakers()
    open_ones = [name for name, breaker in breakers.items() if _is_open(breaker.state)]
    body = {
        "status": "open" if open_ones else "ok",
        "circuit_breakers": {name: breaker.get_stats() for name, breaker in breakers.items()},
        "open": open_ones,
    }
    return _answer(body, available=not (strict and open_ones))
