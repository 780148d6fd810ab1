"""Cached coroutine functions whose results are kept in Redis as well, or there alone."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

from resilience import _core
from resilience._cache.caching import AsyncCaching
from resilience._cache.flights import Waiting
from resilience._cache.local import Cache
from resilience._cache.options import Options
from resilience._cache.redis import RedisCache
from resilience._cache.serializers import encode_key
from resilience._cache.signature import KeyPlan
from resilience._cache.tiered import TieredCache, entry_tag


class RemoteCaching(AsyncCaching):
    """A cached coroutine function with a level in Redis.

    Args:
        backend: both levels, or the one in Redis; then `local` only counts, and keeps nothing.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        local: Cache[Any, Any],
        options: Options,
        plan: KeyPlan,
        backend: TieredCache | RedisCache,
    ) -> None:
        if isinstance(backend, RedisCache) and (options.grace or options.negative_ttl):
            raise ValueError(
                "stale_while_revalidate, stale_if_error and negative_ttl need a local level: TieredCache"
            )
        super().__init__(function, local, options, plan)
        self.backend = backend
        self._background: set[asyncio.Task[Any]] = set()

    def text(self, key: Hashable) -> str:
        """Return the name of a call's key in Redis.

        Raises:
            TypeError: for an argument that can't be encoded, naming it.
        """
        serializer = self._remote.serializer
        if not isinstance(key, _core.CallKey):
            return f"{self.plan.scope}:{encode_key(serializer, key)}"
        for index, argument in enumerate(key.arguments):
            try:
                serializer.dumps(argument)
            except TypeError as error:
                self.plan.refuse(index, error)
        return f"{self.plan.scope}:{encode_key(serializer, list(key.arguments))}"

    def invalidate_key(self, key: Hashable) -> Any:
        """Remove one key here at once, and in Redis soon: awaiting what is returned waits for that too."""
        text = self.text(key)
        here = self.local.invalidate(key)
        task = asyncio.get_running_loop().create_task(self._drop(text, here=here))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def stats(self) -> dict[str, Any]:
        """Return the figures of this function's loads and of the levels."""
        stats = self.local.stats()
        stats["coalesced"] += self._coalesced()
        return stats | {"remote": self._remote.stats()}

    @property
    def _remote(self) -> RedisCache:
        return self.backend.remote if isinstance(self.backend, TieredCache) else self.backend

    async def _drop(self, text: str, *, here: bool) -> bool:
        there = await (
            self.backend.drop(text) if isinstance(self.backend, TieredCache) else self._remote.drop(text)
        )
        return here or there

    async def refresh(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Load now, whatever is kept here or in Redis, and return the result."""
        load = self._loader(args, kwargs, anew=True)
        return await self.flights.anew(key, load, self.tags(args, kwargs))

    def _loader(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, anew: bool = False
    ) -> Callable[[Waiting], Any]:
        call = super()._loader(args, kwargs)
        longest = self.options.ttl if self.options.ttl_of is None else None

        async def load(flight: Waiting) -> Any:
            text = self.text(flight.key)
            tags = tuple(map(str, self.tags(args, kwargs)))
            reading = await self.backend.read(text, tags, longest)
            if reading.found and not anew and self._remote.believes(reading.value, self.options.keeps):
                if isinstance(self.backend, TieredCache) and self._good(flight, text, reading.tags):
                    self.backend.keep(flight.key, text, reading)
                return reading.value
            value = await call(flight)
            if reading.token is not None and self.options.keeps(value):
                await self.backend.write(text, value, self.options.ttl_for(value), tags, token=reading.token)
            return value

        return load

    def _good(self, flight: Waiting, text: str, tags: tuple[Hashable, ...]) -> bool:
        return self.local._token_valid(flight.token, flight.key, (*tags, entry_tag(text)))  # noqa: SLF001

    def keep(self, flight: Waiting, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Store a result in the local level, where there is one."""
        if isinstance(self.backend, TieredCache) and self.backend.keeps and self.options.keeps(value):
            tags = (*self.tags(args, kwargs), entry_tag(self.text(flight.key)))
            self.local._store_loaded(flight, flight.key, value, self.options.ttl_for(value), tags)  # noqa: SLF001
