"""The unified server: wires the parts together and serves them.

Run it as a script, or as `uvicorn unified_server:app`; settings come from the
environment and `.env`.
"""

import contextlib
import os
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI

import agents
import cache_metrics
import comprehensive_metrics
import nlp_processor
import orchestrator
import pooling_probe
import process_metrics
import smart_dispatcher
import testing_routes
import upstream_client
import workflows
from resilience.fastapi import AdminPolicy, install, lifespan
from services import Services
from settings import Settings, get_settings
from upstream_process import LocalUpstream

# Seconds that a worker may take to start on a busy machine before it is taken for dead.
WORKER_START_TIMEOUT = 60

# In the order they start; they stop in the reverse.
PARTS = (
    upstream_client,
    smart_dispatcher,
    nlp_processor,
    orchestrator,
    agents,
    workflows,
    pooling_probe,
    process_metrics,
    cache_metrics,
    comprehensive_metrics,
    testing_routes,
)


def create_app(settings: Settings) -> FastAPI:
    """Build the application from its parts."""

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        async with services.running(), lifespan(app):
            yield

    app = FastAPI(title="Unified server", version="1", lifespan=running)
    token = settings.admin_token
    admin = AdminPolicy(
        token.get_secret_value() if token else None, open_on_loopback=settings.trusts_loopback
    )
    services = app.state.services = Services(settings, install(app, admin=admin))
    for part in PARTS:
        part.attach(app, services)
    return app


app = create_app(get_settings())


def serve(application: FastAPI | str, settings: Settings) -> None:
    """Serve an application, or with several workers its import path, until told to stop."""
    uvicorn.run(
        application,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        timeout_graceful_shutdown=settings.drain_timeout,
        timeout_worker_healthcheck=WORKER_START_TIMEOUT,
    )


def main() -> None:
    """Serve by the settings; several workers share one local upstream, which they learn of by environment."""
    settings = get_settings()
    if settings.workers == 1 or not settings.starts_local_upstream:
        serve(app if settings.workers == 1 else "unified_server:app", settings)
        return
    upstream = LocalUpstream()
    upstream.start()
    os.environ["RESILIENCE_UPSTREAM_URL"] = upstream.url
    try:
        serve("unified_server:app", settings)
    finally:
        upstream.stop()


if __name__ == "__main__":
    main()
