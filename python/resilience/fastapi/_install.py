"""Adopting everything in an existing application: `install(app)`."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from resilience._adaptive_limit import AdaptiveLimit
from resilience._core import route_of
from resilience._loop_lag import LoopLag
from resilience.fastapi._admin import AdminPolicy
from resilience.fastapi._admission import Admission
from resilience.fastapi._config import FastAPIConfig
from resilience.fastapi._correlation import correlation_id
from resilience.fastapi._endpoints import EndpointTable
from resilience.fastapi._health import (
    DependencyChecks,
    Lifecycle,
    circuit_breaker_router,
    health_router,
)
from resilience.fastapi._metrics import MetricSources, dependency_families, http_families, metrics_router
from resilience.fastapi._middleware import ResilienceMiddleware
from resilience.fastapi._openapi import describe_problems
from resilience.fastapi._problems import add_problem_handlers
from resilience.fastapi._request_metrics import RequestMetrics
from resilience.observability import Family


@dataclass(slots=True)
class Resilience:
    """What the middleware, routers and dependencies of this package share: `app.state.resilience`."""

    config: FastAPIConfig
    admin: AdminPolicy
    admission: Admission
    dependencies: DependencyChecks
    endpoints: EndpointTable
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    sources: MetricSources = field(default_factory=MetricSources)
    loop_lag: LoopLag = field(default_factory=LoopLag)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    def lag(self) -> float:
        """Return the present lag of the event loop in seconds."""
        return self.loop_lag.current


def install(
    app: FastAPI,
    config: FastAPIConfig | Mapping[str, Any] | None = None,
    *,
    admin: AdminPolicy | None = None,
    cache: Callable[[ASGIApp], ASGIApp] | None = None,
) -> Resilience:
    """Add middleware, problem responses and the health routers to an application.

    Args:
        app: The application; its own lifespan should enter `resilience.fastapi.lifespan`.
        config: Settings, or a mapping of them.
        admin: Who may use admin routes; nobody by default.
        cache: Wraps the application in one that answers from stored responses.

    Returns:
        The shared state, also found at `app.state.resilience`.

    Raises:
        ValueError: For a setting out of its range or unknown, naming it.
        TypeError: For a setting of the wrong type.
        RuntimeError: When the application has started already.
    """
    if not isinstance(config, FastAPIConfig):
        config = FastAPIConfig.from_mapping({} if config is None else config)
    state = Resilience(
        config=config,
        admin=admin or AdminPolicy(),
        admission=Admission(config.max_active, config.max_lag),
        dependencies=DependencyChecks(interval=config.check_interval, timeout=config.check_timeout),
        endpoints=EndpointTable(config.endpoints),
    )
    state.admission.lag = state.lag
    if config.adaptive:
        state.admission.adaptive = AdaptiveLimit(initial=min(20, config.max_active), max=config.max_active)
    state.sources.add(lambda: http_families(state.metrics), name="http")
    state.sources.add(lambda: dependency_families(state.dependencies), name="dependencies")
    state.sources.add(lambda: _process_families(state), name="process")
    app.add_middleware(
        ResilienceMiddleware,
        metrics=state.metrics,
        endpoints=state.endpoints,
        admission=state.admission,
        max_body_bytes=config.max_body_bytes,
        cache=cache,
        tracing=_tracing(),
        lifecycle=state.lifecycle,
    )
    app.state.resilience = state
    add_problem_handlers(app)
    describe_problems(app)
    app.include_router(health_router)
    app.include_router(circuit_breaker_router)
    app.include_router(metrics_router)
    return state


def _tracing() -> Callable[[ASGIApp], ASGIApp] | None:
    """Return what puts spans around the application, should anybody want to see them; None without OpenTelemetry."""
    try:
        from resilience.observability.tracing import RequestSpans, has_provider
    except ModuleNotFoundError:
        return None

    def wrap(app: ASGIApp) -> ASGIApp:
        return RequestSpans(app, correlation_id=correlation_id, route_of=route_of) if has_provider() else app

    return wrap


def _process_families(state: Resilience) -> Iterable[Family]:
    refused = Family("resilience_admission_refused", "counter", "Requests refused under overload")
    refused.add((), [float(state.admission.refused)])
    lag = Family("resilience_event_loop_lag_seconds", "gauge", "How late the event loop runs", merge="max")
    lag.add((), [state.lag()])
    cpu = Family("resilience_process_cpu_seconds", "counter", "CPU time that the process has used")
    cpu.add((), [time.process_time()])
    return refused, lag, cpu


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the background work of an application; it is ready inside, and draining on the way out.

    Raises:
        RuntimeError: When `install` has not been called for the application.
    """
    state: Resilience | None = getattr(app.state, "resilience", None)
    if state is None:
        raise RuntimeError("resilience.fastapi.install(app) has to be called before the application starts")
    state.endpoints.add_marked(app.routes)
    with state.loop_lag:
        async with state.dependencies.running(), state.sources.shared():
            state.lifecycle.serve()
            try:
                yield
            finally:
                state.lifecycle.drain()
