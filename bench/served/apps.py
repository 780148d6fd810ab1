"""The applications that `fastapi_routes` measures: one route, bare and under each stack. Run by uvicorn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI

PATH = "/items/7"
ANSWER = {"item": 7, "name": "seven"}
BODY = b'{"item":7,"name":"seven"}'


async def item(number: int) -> dict[str, Any]:
    """Answer without waiting for anything, so that only the stack around it is measured."""
    return {"item": number, "name": "seven"}


async def raw(scope: dict[str, Any], _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer as an ASGI application of no framework: what this server can do at most."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def bare() -> FastAPI:
    """Return the route alone."""
    app = FastAPI()
    app.get("/items/{number}")(item)
    return app


def ours() -> FastAPI:
    """Return the route under breaker, retry and timeout, with this package's middleware around the application."""
    from resilience import CircuitBreaker, Pipeline, retry
    from resilience.fastapi import install, lifespan

    app = FastAPI(lifespan=lifespan)
    guarded = Pipeline(retry=retry(on=OSError), circuit_breaker=CircuitBreaker("items"), timeout=5.0)
    app.get("/items/{number}")(guarded(item))
    install(app)
    return app


def cached() -> FastAPI:
    """Return the same application with its answers kept."""
    from resilience import CircuitBreaker, Pipeline, retry
    from resilience.fastapi import install, lifespan
    from resilience.fastapi.response_cache import ResponseCache

    app = FastAPI(lifespan=lifespan)
    guarded = Pipeline(retry=retry(on=OSError), circuit_breaker=CircuitBreaker("items"), timeout=5.0)
    app.get("/items/{number}")(guarded(item))
    install(app, cache=lambda inner: ResponseCache(inner, ttl=3600.0))
    return app


def peers() -> FastAPI:
    """Return the route under the stack that is usually built for this: five packages."""
    from asgi_correlation_id import CorrelationIdMiddleware
    from circuitbreaker import circuit
    from prometheus_fastapi_instrumentator import Instrumentator
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    @retry(
        retry=retry_if_exception_type(OSError),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        reraise=True,
    )
    @circuit(failure_threshold=3, recovery_timeout=30)
    async def guarded(number: int) -> dict[str, Any]:
        async with asyncio.timeout(5.0):
            return await item(number)

    app = FastAPI()

    @app.get("/items/{number}")
    async def route(number: int) -> dict[str, Any]:
        return await guarded(number)

    app.add_middleware(CorrelationIdMiddleware)
    Instrumentator().instrument(app).expose(app)
    return app


def isolated() -> FastAPI:
    """Return two endpoints that each ask an upstream of their own, and one that has a second to turn to."""
    import os

    import httpx

    from resilience import CircuitBreaker, Pipeline, fallback, retry
    from resilience.connections import GuardedHttpxTransport, UpstreamGuard
    from resilience.fastapi import install, lifespan

    urls = {name: os.environ[f"UPSTREAM_{name.upper()}"] for name in ("steady", "failing")}
    http = httpx.AsyncClient(transport=GuardedHttpxTransport(UpstreamGuard()))
    breaker = {"failure_threshold": 3, "recovery_timeout": 0.2}
    app = FastAPI(lifespan=lifespan)
    install(
        app,
        {"endpoints": {"/steady": {"circuit_breaker": breaker}, "/failing": {"circuit_breaker": breaker}}},
    )

    async def ask(name: str) -> dict[str, Any]:
        answer = await http.get(urls[name])
        answer.raise_for_status()
        return dict(answer.json())

    @app.get("/steady")
    async def steady() -> dict[str, Any]:
        return await ask("steady")

    @app.get("/failing")
    async def failing() -> dict[str, Any]:
        return await ask("failing")

    async def second() -> dict[str, Any]:
        return await ask("steady")

    provider = Pipeline(
        fallback=fallback(second, on=Exception),
        retry=retry(on=httpx.HTTPError, attempts=2, wait_initial=0.01),
        circuit_breaker=CircuitBreaker("first provider", recovery_timeout=0.2),
        timeout=1.0,
    )

    @app.get("/answer")
    @provider
    async def answer() -> dict[str, Any]:
        return await ask("failing")

    return app
