"""The `/api/test` routes: make breakers open and the local upstream misbehave. Mounted in development only.

Admin only; `GET .../status` changes nothing and is open.
"""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Literal

import httpx
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from resilience import CircuitBreaker, State
from resilience.fastapi import problem_responses, require_admin
from services import Services
from smart_dispatcher import SmartDispatcher, fail_on_purpose
from upstream_faults import Behaviour

Component = Annotated[str, Path(min_length=1, max_length=200)]

router = APIRouter(prefix="/api/test", tags=["test"])
admin_only = [Depends(require_admin)]


class Attempt(BaseModel):
    """One call of a triggered failure."""

    attempt: int
    status: str
    state: str
    error: str


class TriggerResult(BaseModel):
    """What a triggered failure did to a breaker."""

    component: str
    final_state: str
    failure_count: int
    test_results: list[Attempt]


def _dispatcher(request: Request) -> SmartDispatcher:
    services: Services = request.app.state.services
    if services.dispatcher is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The dispatcher is not up.")
    return services.dispatcher


Dispatcher = Annotated[SmartDispatcher, Depends(_dispatcher)]


@router.post(
    "/circuit-breaker/trigger-failure/{component}",
    dependencies=admin_only,
    responses=problem_responses(401, 403),
)
async def trigger_failure(
    component: Component, dispatcher: Dispatcher, failure_count: Annotated[int, Query(ge=1, le=100)] = 3
) -> TriggerResult:
    """Fail `failure_count` calls of a breaker and make one more; a fresh breaker when none has that name."""
    breaker = dispatcher.breakers().get(component)
    if breaker is None:
        breaker = CircuitBreaker(component, failure_threshold=failure_count)
    results = [await fail_on_purpose(breaker, attempt) for attempt in range(1, failure_count + 2)]
    dispatcher.triggered_openings += breaker.state is State.OPEN
    return TriggerResult(
        component=component,
        final_state=breaker.state.value,
        failure_count=breaker.failure_count,
        test_results=[Attempt(**result) for result in results],
    )


@router.get("/circuit-breaker/status")
async def breaker_status(dispatcher: Dispatcher) -> dict[str, dict[str, Any]]:
    """Return state and counts of every breaker."""
    return dispatcher.status()


@router.post(
    "/circuit-breaker/reset/{component}",
    dependencies=admin_only,
    responses=problem_responses(401, 403, 404),
)
async def reset_breaker(component: Component, dispatcher: Dispatcher) -> dict[str, str]:
    """Close a breaker and forget what it counted."""
    breaker = dispatcher.breakers().get(component)
    if breaker is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no circuit breaker of that name.")
    breaker.reset()
    return {"status": "reset", "component": component}


@router.post("/upstream/{action}", dependencies=admin_only)
async def control_upstream(
    action: Literal["kill", "start", "behave"], request: Request, behaviour: Behaviour | None = None
) -> dict[str, Any]:
    """Kill or start the local upstream, or set how it behaves; answers with its journal of before a kill."""
    local = request.app.state.services.local_upstream
    if local is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "This server started no local upstream.")
    if action == "start":
        await asyncio.to_thread(local.start)
    if not local.is_alive:
        return {"alive": False}
    # made in a thread: the first client imports its transport and reads certificates, which held up every request
    async with await asyncio.to_thread(httpx.AsyncClient, base_url=local.url) as client:
        chosen = (behaviour or Behaviour()).model_dump()
        sent = client.post("/control", json=chosen) if action == "behave" else client.get("/control")
        journal = dict((await sent).json())
    if action == "kill":
        await asyncio.to_thread(local.kill)
    return {"alive": local.is_alive, **journal}


def attach(app: FastAPI, services: Services) -> None:
    """Mount the routes where the settings want them."""
    if services.settings.has_test_endpoints:
        app.include_router(router)
