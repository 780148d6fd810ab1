"""Adopting everything in an existing application: `install(app)`."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import FastAPI

from resilience.fastapi._admin import AdminPolicy
from resilience.fastapi._health import DependencyChecks, Phase, circuit_breaker_router, health_router
from resilience.fastapi._middleware import ResilienceMiddleware
from resilience.fastapi._problems import add_problem_handlers
from resilience.fastapi._request_metrics import RequestMetrics


@dataclass(slots=True)
class Resilience:
    """What the routers and dependencies of this package share; found at `app.state.resilience`."""

    admin: AdminPolicy = field(default_factory=AdminPolicy)
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    dependencies: DependencyChecks = field(default_factory=DependencyChecks)
    phase: Phase = Phase.STARTING


def install(app: FastAPI, *, admin: AdminPolicy | None = None) -> Resilience:
    """Add middleware, problem responses and the health routers to an application.

    Args:
        app: The application; its own `lifespan` should enter `resilience.fastapi.lifespan`.
        admin: Who may use admin routes; nobody by default.

    Returns:
        The shared state, also found at `app.state.resilience`.
    """
    state = app.state.resilience = Resilience(admin=admin or AdminPolicy())
    app.add_middleware(ResilienceMiddleware, metrics=state.metrics)
    add_problem_handlers(app)
    app.include_router(health_router)
    app.include_router(circuit_breaker_router)
    return state


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the background checks of an application; it is ready inside, and draining on the way out."""
    state: Resilience = app.state.resilience
    async with state.dependencies.running():
        state.phase = Phase.SERVING
        try:
            yield
        finally:
            state.phase = Phase.DRAINING
