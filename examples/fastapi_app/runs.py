"""`GET /api/runs` and `GET /api/usage`: what has run and what it used, from the database."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from http import HTTPStatus
from time import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from resilience.connections import DatabasePool
from run_log import RunLog
from services import Services
from settings import Settings

DAY = 86_400.0


class RunRecord(BaseModel):
    """One run; token counts are null where the model told none."""

    id: str
    at: float = Field(description="UNIX seconds")
    kind: Literal["agent", "workflow"]
    name: str
    status: Literal["answered", "fallback", "failed"]
    seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None


class UsageTotal(BaseModel):
    """What calls of one model for one operation used."""

    model: str
    operation: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = Field(description="null where no price is known")


router = APIRouter(tags=["runs"])


@router.get("/api/runs")
async def newest_runs(request: Request, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[RunRecord]:
    """List the last runs of agents and workflows, the newest first."""
    services: Services = request.app.state.services
    rows = await _from_database(request, services.runs.newest(limit))
    return [RunRecord(**row) for row in rows]


@router.get("/api/usage")
async def usage(
    request: Request, seconds: Annotated[float, Query(gt=0, le=366 * DAY)] = DAY
) -> list[UsageTotal]:
    """Sum up what the models used in the last `seconds`, by model and operation."""
    services: Services = request.app.state.services
    rows = await _from_database(request, services.runs.usage(time() - seconds))
    return [UsageTotal(**row) for row in rows]


async def _from_database(request: Request, rows: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    database: DatabasePool = request.app.state.database
    try:
        return await rows
    except Exception as error:
        if database.is_unavailable(error):
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer right now."
            ) from error
        raise


def database_pool(settings: Settings) -> DatabasePool:
    """Make the pool of the configured database, or of a file in the data folder."""
    if settings.database_url is not None:
        dsn = settings.database_url.get_secret_value()
    else:
        settings.data_folder.mkdir(parents=True, exist_ok=True)
        dsn = f"sqlite:///{settings.data_folder.resolve() / 'unified_server.db'}"
    return DatabasePool(dsn, size=settings.database_pool_size, statement_timeout=settings.database_timeout)


def attach(app: FastAPI, services: Services) -> None:
    """Keep runs and usage, and mount the routes."""
    database = app.state.database = database_pool(services.settings)
    services.runs = RunLog(database, kept=services.settings.run_history)
    services.databases["runs"] = database.stats
    services.pools["database"] = services.settings.database_pool_size
    services.figures["runs"] = services.runs.figures
    services.resilience.dependencies.add("database", database.check, figures=database.stats)

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        try:
            yield
        finally:
            try:
                await services.runs.close()
            finally:
                await database.close()  # whatever became of the records: its threads hold up the process

    services.while_running(running)
    app.include_router(router)
