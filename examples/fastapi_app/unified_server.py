"""The unified server: wires the parts together and serves them.

Run it as a script, or as `uvicorn unified_server:app`; settings come from the
environment and `.env`, some also from the command line.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

# Ctrl-C ends the server without a traceback, also while the rest is imported. Workers are told by their supervisor.
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
elif __name__ == "__mp_main__":
    os.setpgrp()

import uvicorn
from fastapi import FastAPI

import agents
import allocation
import auth
import batching
import cache_metrics
import command_line
import comprehensive_metrics
import files
import json_logs
import live_events
import loop_watch
import models
import nlp_processor
import orchestrator
import pooling_probe
import pools
import process_metrics
import runs
import second_level
import smart_dispatcher
import sources
import testing_routes
import upstream_client
import workflows
from bounded_protocols import bounds
from draining_server import DrainingServer
from grace import grace_before_exit
from resilience import configure
from resilience.fastapi import AdminPolicy, FastAPIConfig, install, lifespan
from resilience.fastapi.response_cache import ResponseCache
from services import Services
from settings import CLOSING_TIMEOUT, Settings, get_settings
from supervisor import Supervisor
from upstream_process import LocalUpstream

# What guards the parts' functions, by name.
POLICIES = Path(__file__).with_name("config.yaml")
# Seconds that a worker may take to start on a busy machine before it is taken for dead.
WORKER_START_TIMEOUT = 60

# In the order they start; they stop in the reverse.
PARTS = (
    pools,
    runs,
    second_level,
    upstream_client,
    models,
    smart_dispatcher,
    batching,
    nlp_processor,
    orchestrator,
    sources,
    agents,
    workflows,
    auth,
    files,
    live_events,
    loop_watch,
    pooling_probe,
    allocation,
    process_metrics,
    cache_metrics,
    comprehensive_metrics,
    testing_routes,
)


def create_app(settings: Settings) -> FastAPI:
    """Build the application from its parts."""

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        if multiprocessing.parent_process() is not None:  # a worker, which begins without the server's set-up
            json_logs.set_up(settings.log_level)
        drain = services.resilience.lifecycle.drain
        async with services.running(), lifespan(app):
            with grace_before_exit(drain=drain, grace=settings.drain_grace):
                yield

    # A redirect would name the host that the client has named.
    app = FastAPI(title="Unified server", version="1", lifespan=running, redirect_slashes=False)
    token = settings.admin_token
    admin = AdminPolicy(
        token.get_secret_value() if token else None,
        open_on_loopback=settings.trusts_loopback,
        name_of=lambda given: services.verifier.admin_of(given),  # noqa: PLW0108 - attached below
    )
    configure(POLICIES)
    config = FastAPIConfig(check_interval=settings.check_interval, max_lag=settings.max_lag)
    services = app.state.services = Services(settings, install(app, config, admin=admin, cache=ResponseCache))
    for part in PARTS:
        part.attach(app, services)
    return app


if __name__ == "__main__":
    command_line.read()  # into the environment, where the settings come from
app = create_app(get_settings())


def serve(settings: Settings) -> None:
    """Serve until told to stop, by one process or by several."""
    target = app if settings.workers == 1 else "unified_server:app"
    config = uvicorn.Config(
        target,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        timeout_graceful_shutdown=settings.drain_timeout,
        timeout_worker_healthcheck=WORKER_START_TIMEOUT,
        **bounds(),
    )
    if settings.workers == 1:
        drain = app.state.resilience.lifecycle.drain
        grace = settings.drain_grace
        DrainingServer(config, drain=drain, grace=grace, closing=CLOSING_TIMEOUT).run()
        return
    Supervisor(config, sockets=[config.bind_socket()]).run()


def main() -> None:
    """Serve by the settings; several workers share one local upstream, which they learn of by environment."""
    settings = get_settings()
    json_logs.set_up(settings.log_level)
    if settings.workers == 1 or not settings.starts_local_upstream:
        serve(settings)
        return
    upstream = LocalUpstream()
    upstream.start()
    os.environ["RESILIENCE_UPSTREAM_URL"] = upstream.url
    try:
        serve(settings)
    finally:
        upstream.stop()


if __name__ == "__main__":
    main()
