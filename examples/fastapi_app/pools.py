"""The connection pools that the parts share: opened, watched, resized and closed together."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from resilience import CircuitBreakerConfig
from resilience.connections import ConnectionConfig, ConnectionManager, Target
from services import Services
from settings import Settings

# Who calls the model decides with which breaker; the pool's own opens only when a Retry-After asks for it.
ONLY_WHEN_ASKED = CircuitBreakerConfig(failure_threshold=0)


def language_model(_target: Target) -> str:
    """Name the one upstream without its address, which no health report may show."""
    return "language_model"


def connection_manager(settings: Settings) -> ConnectionManager:
    """Make the pools by the settings; nothing is opened yet."""
    config = ConnectionConfig(
        http_pool_size=settings.http_pool_size,
        http_keepalive_timeout=settings.keepalive_timeout,
        http_connection_timeout=settings.connect_timeout,
        http_pool_timeout=settings.upstream_timeout,
        http_read_timeout=settings.upstream_timeout,
        enable_connection_reuse=settings.connection_reuse,
    )
    return ConnectionManager(config, key=language_model, breaker=ONLY_WHEN_ASKED)


def attach(_app: FastAPI, services: Services) -> None:
    """Offer the pools to the other parts, and close them when the server stops."""
    connections = services.connections = connection_manager(services.settings)
    services.figures["connections"] = connections.stats

    async def resize(size: int) -> int:
        await connections.resize(http_pool_size=size)
        return connections.config.http_pool_size

    services.resizable.append(("connections", resize))

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with connections:
            yield

    services.while_running(running)
