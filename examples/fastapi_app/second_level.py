"""The caches' second level: Redis, where REDIS_URL names one; without it each process keeps its own.

Values cross to Redis as plain ones (text, numbers, tuples): nothing that comes from there is ever run.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI

from resilience import Cache, RedisCache, TieredCache
from resilience.observability import redis_cache_families
from services import Services
from settings import Settings

PREFIX = "unified-server"


class SecondLevel:
    """Makes the caches of the parts, with Redis below them where there is one."""

    def __init__(self, settings: Settings) -> None:
        url, timeout = settings.redis_url, settings.redis_timeout
        self.remote = (
            None if url is None else RedisCache(url.get_secret_value(), prefix=PREFIX, timeout=timeout)
        )
        self._tiered: list[TieredCache] = []
        self._info: Mapping[str, Any] | None = None

    def below(self, local: Cache[Any, Any]) -> Cache[Any, Any] | TieredCache:
        """Return what functions keep their results in: `local`, and Redis below it."""
        if self.remote is None:
            return local
        self._tiered.append(TieredCache(local, self.remote))
        return self._tiered[-1]

    async def check(self) -> None:
        """Ask Redis for its figures; raises ConnectionError while it is away."""
        self._info = None if self.remote is None else await self.remote.guarded(lambda client: client.info())
        self.figures()

    def figures(self) -> Mapping[str, Any]:
        """Return what the last check read; raises ConnectionError while Redis is away."""
        if self._info is None:
            raise ConnectionError("Redis does not answer")
        return self._info

    async def close(self) -> None:
        """Stop listening for other processes' changes, and close the connections."""
        for tiered in self._tiered:
            await tiered.aclose()
        if self.remote is not None:
            await self.remote.aclose()


def attach(_app: FastAPI, services: Services) -> None:
    """Offer caches to the other parts; watch Redis and close it when the server stops."""
    levels = services.second_level = SecondLevel(services.settings)
    if levels.remote is None:
        return
    services.redis = levels.figures
    services.pools["redis"] = levels.remote.max_concurrent
    stats = levels.remote.stats
    services.resilience.dependencies.add("redis", levels.check, figures=stats)
    services.resilience.sources.add(lambda: redis_cache_families({PREFIX: stats}), name="redis_cache")

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await levels.close()

    services.while_running(running)
